"""Who may begin now, and what the others wait for."""
