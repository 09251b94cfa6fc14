"""What is taken away: what does not serve, a commit that failed, leftovers, images.

What serves is recorded when a commit is promoted (`serving_containers`). What to keep is then a set, and after a
success, a failure and a crash the same function (`discard_unserving`) removes the other containers, networks and files.
"""
