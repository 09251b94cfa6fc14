"""What every process stands on: settings, log, fence, concurrency, queue, data directory, health."""
