"""What a repository's own code says about its database. Pure: it is read as text, and never imported or run."""
