"""What is done by the clock: rounds of the reconciler, health, watchdog, backups, housekeeping."""
