"""The requests that the Engine gets for a stack, and the last look at each."""
