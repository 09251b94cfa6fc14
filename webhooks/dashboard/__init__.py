"""Pages for people, live by server-sent events."""
