"""A project's files put together as Compose does it: includes, extends, overrides, paths."""
