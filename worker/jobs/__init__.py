"""When work begins: wake-ups, the sweep, periodic tasks, at most one task of a kind for each preview."""
