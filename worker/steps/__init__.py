"""The steps of a deployment in order: source, build, database, environment, launch, probe; and teardown.

The order is `PullRequest.steps` in `worker/pull_request.py`, and for a base branch `BaseBranch.steps` in
`worker/base_branch.py`. Steps do not import each other.
"""
