"""When work begins: wake-ups, the sweep, periodic tasks, at most one task of a kind for each preview.

The sweep, and no notification, also starts reports: once a second it compares `reported_at` with `updated_at`. So a
burst of changes is one edit, and nothing is forgotten while the forge is away.
"""
