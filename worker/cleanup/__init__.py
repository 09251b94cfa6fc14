"""What is taken away: what does not serve, a commit that failed, leftovers, images."""
