"""What must become of a pull request, from what GitHub says of it alone. Pure: the judge of everything else."""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.preview.state import State
from tests.chaos.apps import Change, Fate


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What GitHub says of a pull request, and what its commits are."""

    is_open: bool
    is_draft: bool
    by_stranger: bool
    head: str
    changes: Mapping[str, Change]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What previewd's own table says of it."""

    state: State
    commit: str | None
    reason: str
    is_settled: bool
    host: str
    serving_commit: str | None
    serving_upstream: str | None
    serving_containers: tuple[str, ...]


_WORDS: Mapping[Fate, str] = {
    Fate.UNBUILDABLE: "not-there.py",
    Fate.DYING: "service app",
    Fate.UNREADABLE: "privileged",
}
"""What the reason of a failure has to name."""


def wanted_state(told: Told) -> State:
    """The state in which a pull request has to end, whatever happened on the way."""
    if not told.is_open:
        return State.REMOVED
    if told.by_stranger or told.is_draft:
        return State.WAITING
    return State.READY if told.changes[told.head].fate is Fate.READY else State.FAILED


def faults(told: Told, seen: Seen | None) -> list[str]:
    """What is wrong with where a preview stands; nothing when it ended right."""
    wanted = wanted_state(told)
    if seen is None:
        return [f"it should be {wanted}, and nothing is known of it"] if told.is_open else []
    if seen.state is not wanted:
        return [f"it should be {wanted} and is {seen.state}: {seen.reason}"]
    found = [] if seen.is_settled else ["there is still something to be done for it"]
    match wanted:
        case State.READY | State.FAILED if seen.commit != told.head:
            found.append(f"its head is {told.head[:7]}, and {(seen.commit or 'nothing')[:7]} is {wanted}")
        case State.READY if seen.serving_commit != told.head:
            found.append(f"its head is {told.head[:7]}, and {(seen.serving_commit or 'nothing')[:7]} serves")
        case State.FAILED if _WORDS[told.changes[told.head].fate] not in seen.reason:
            found.append(f"it failed for another reason: {seen.reason}")
        case State.WAITING if (missing := _why_waiting(told)) not in seen.reason:
            found.append(f"it waits for another reason than {missing}: {seen.reason}")
        case State.REMOVED if seen.serving_commit or seen.serving_containers:
            found.append("it is removed, and something is said to serve")
        case _:
            pass
    return found


def _why_waiting(told: Told) -> str:
    return "write access" if told.by_stranger else "draft"
