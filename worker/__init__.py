"""Door two, the worker: brings each preview to what its pull request asks for.

Read `converge` first, then `steps` in the order of `PullRequest.steps`, which is in `worker/pull_request.py`.
"""
