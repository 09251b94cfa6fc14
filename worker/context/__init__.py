"""What the worker acts through: ports, store, tasks, build slots, the machine's room."""
