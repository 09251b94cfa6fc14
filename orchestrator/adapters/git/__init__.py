"""git: a repository's commits fetched, their files read, and build contexts streamed from its objects."""
