"""GitHub's API: pull requests and permissions read, comment, status and deployments written, at its pace.

`rate_limit` counts; `http` (its `Caller`) sends, waits between two writes, and refuses while GitHub wants silence.

What we are not installed on is answered as 404 by the adapter itself: one way leads to the removal of a preview,
whether the event came or not. The end of one token's hour stops that installation only, a secondary limit all of them.
"""
