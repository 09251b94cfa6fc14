"""What GitHub shows of a preview's environment: one deployment for each commit that serves or is on its way. Pure.

GitHub's "REST API endpoints for deployments": an environment is transient when it goes away one day, its address is
shown while its newest deployment is `success`, and what serves no more is said to be `inactive`.
"""

from collections.abc import Collection

from orchestrator.ports.forge import ForgeDeployment
from orchestrator.preview.records import Deployment, Preview
from orchestrator.preview.state import State

_UNDER_WAY: dict[State, tuple[str, str]] = {
    State.QUEUED: ("queued", "Waits for its turn"),
    State.BUILDING: ("in_progress", "Is being brought up"),
    State.PREPARING: ("in_progress", "Is being brought up"),
    State.STARTING: ("in_progress", "Is being brought up"),
    State.FAILED: ("failure", "Did not come up: the comment says why"),
}
"""Few words, so that a step more or less is nothing new: each one would cost a request."""

_GOING = frozenset({State.REMOVING, State.REMOVED})


def deployments(
    preview: Preview, newest: Deployment | None, url: str, log_url: str, marker: str, known: Collection[str] = ()
) -> list[ForgeDeployment]:
    """What the forge should show; of the commits `known` to it, those that serve no more come last.

    `newest` is the preview's newest deployment of ours, `url` where the preview answers.
    """
    shown: dict[str, tuple[str, str, str]] = {}
    under_way = _under_way(preview, newest)
    if preview.commit and under_way:
        shown[preview.commit] = (*under_way, "")
    if preview.serving_commit and preview.state not in _GOING:
        shown[preview.serving_commit] = ("success", "Answers", url)
    for commit in known:
        shown.setdefault(commit, ("inactive", "Serves no more", ""))
    return [
        ForgeDeployment(
            environment=f"preview/pr-{preview.id.number}",
            commit=commit,
            state=state,
            description=description,
            url=address,
            log_url=log_url,
            marker=marker,
        )
        for commit, (state, description, address) in shown.items()
    ]


def _under_way(preview: Preview, newest: Deployment | None) -> tuple[str, str] | None:
    """A preview that waits has a deployment when its commit stands in line, and none when it may not run."""
    if preview.state is State.WAITING:
        in_line = newest is not None and newest.commit == preview.commit and newest.outcome == "waiting"
        return _UNDER_WAY[State.QUEUED] if in_line else None
    return _UNDER_WAY.get(preview.state)
