"""The only code that touches the outside: the Engine, git, GitHub, Postgres, Caddy, embedded servers."""
