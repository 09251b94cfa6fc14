"""What the worker needs of the outside, as Protocols, where a real thing and a fake both exist."""
