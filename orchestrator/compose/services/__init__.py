"""From nodes to the model: services, builds, mounts, ports, secrets, and the block `x-preview`."""
