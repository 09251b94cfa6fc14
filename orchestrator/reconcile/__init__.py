"""What exists against what should: observe, plan, apply; and whether what serves is alive.

`worker/converge.py` is the control loop of one preview. This package detects drift of all of them, which it leaves to
converge by raising generations, and collects garbage. What is a leak is for `plan` to decide.

Rows are read before and after the world: a preview that moved meanwhile, or that somebody acts on, is left alone. What
ran when a commit began to serve is recorded, with the name of the container behind its address: so a one-shot that is
done is no failure, while two containers that changed places after a restart of the Engine are.
"""
