"""What each container of a stack should be; its networks, files on the host and hooks."""
