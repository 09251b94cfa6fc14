"""The brain: what is wanted, what is known, what follows; the worker and the web process are built on it.

Lowest first: a folder imports only folders listed before it; `store` and `reporting`, `reconcile` and `adapters` do not
import each other.

preview    What a preview is: its id and its states, who may run it, its names, its errors, what is known of it.
runtime    What every process stands on: settings, log, fence, concurrency, queue, data directory, health.
codebase   What a commit says of itself: Python, Alembic, Dockerfile, ignore file; read as text, never run.
compose    The Compose language: from files to a tree, judged, to a stack, to the requests that the Engine gets.
databases  A preview's Postgres database: what it begins as, when it is made anew, its limits.
admission  Who may begin now, and what the others wait for.
ports      What the worker needs of the outside, as Protocols, where a real thing and a fake both exist.
store      All that previewd itself keeps: the tables, every read, every write; who acts on a preview holds its lease.
reporting  What people are told: the comment, the deployments, the remedies, in words that harm nobody.
reconcile  What exists against what should: observe, plan, apply; and whether what serves is alive.
adapters   The only code that touches the outside: the Engine, git, GitHub, Postgres, Caddy, embedded servers.
cli        The command `previewd`, and the processes that `previewd up` runs.
"""
