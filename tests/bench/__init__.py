"""`make bench`: the figures, each as a ratio to a peer in the same run. Nothing here asserts; it measures."""
