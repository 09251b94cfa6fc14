"""Whether what serves still stands: what was recorded when it began to serve, against what the Engine says now. Pure.

The worker asks before it believes a row that says READY, and the reconciler for every preview, by the same rule.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from orchestrator.ports.engine import ContainerStatus
from orchestrator.preview.names import SERVICE_LABEL
from orchestrator.preview.records import Serving

TOGETHER = timedelta(seconds=30)
"""What ends well within so long of another is taken to have been ended with it, as by the Engine when that stops."""

SHORT_LIFE = timedelta(seconds=60)

_FROM_OUTSIDE = frozenset({137, 143, 255})
"""Exit codes of SIGKILL and SIGTERM, and of what ran when the Engine was killed: nobody's own doing."""


def was_ended_from_outside(status: ContainerStatus) -> bool:
    """Whether somebody killed it, or the Engine was restarted, as far as its exit code tells."""
    return not status.running and not status.oom_killed and status.exit_code in _FROM_OUTSIDE


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why what serves does not stand."""

    reason: str
    container: str
    """The name of the one that is to blame."""
    is_routed: bool
    """Whether visitors are led, or would be, to a container that is not there: its address may be another's by now."""
    by_itself: bool
    """Whether it ended of its own accord. Else somebody killed or removed it, or the Engine was restarted."""
    soon: bool = False
    """Whether it ended by itself soon after its last start."""


def failure_of(serving: Serving, present: Iterable[ContainerStatus], memory_bytes: int = 0) -> Failure | None:
    """What is wrong with it first of all; None when it stands. `memory_bytes` is the limit that is told."""
    found = {status.name: status for status in present if status.name in serving.containers}
    return _routed_failure(serving, found, memory_bytes) or _other_failure(serving, found, memory_bytes)


def _routed_failure(serving: Serving, found: Mapping[str, ContainerStatus], memory_bytes: int) -> Failure | None:
    if not serving.containers:
        return None
    address = (serving.upstream or "").rpartition(":")[0]
    held_by = next((s.name for s in found.values() if s.running and address in s.addresses.values()), "")
    name = serving.routed_name
    if not name:
        return None if held_by else _moved("the container that visitors reach")
    status = found.get(name)
    if status is None:
        return _gone(name, is_routed=True)
    if not status.running:  # also while the Engine is about to start it again: nobody answers there
        return _ended(status, memory_bytes, is_routed=True)
    return None if held_by == name else _moved(_subject(status), name)


def _other_failure(serving: Serving, found: Mapping[str, ContainerStatus], memory_bytes: int) -> Failure | None:
    for name in sorted(serving.containers - found.keys()):
        return _gone(name, is_routed=False)
    once_ran = [found[name] for name in sorted(serving.running)]
    down = [status for status in once_ran if not status.running and not status.restarting]
    for status in down:
        if status.exit_code != 0 or _was_ended_with_others(status, once_ran):
            return _ended(status, memory_bytes, is_routed=False)
    return None


def _was_ended_with_others(status: ContainerStatus, others: Iterable[ContainerStatus]) -> bool:
    """One that did its work ends well by itself; so does what the Engine stopped, but that with everything else."""
    return any(
        abs(status.finished_at - other.finished_at) < TOGETHER
        for other in others
        if other is not status and status.finished_at is not None and other.finished_at is not None
    )


def _ended(status: ContainerStatus, memory_bytes: int, *, is_routed: bool) -> Failure:
    short = _is_short_lived(status)
    code = status.exit_code
    if status.oom_killed:
        words = f"ran out of memory: the limit is {memory_bytes >> 20} MiB"
    elif code is None:
        words = "does not run"
    else:
        words = f"exited with code {code}"
    by_itself = status.oom_killed or (short if code in {0, None} else not was_ended_from_outside(status))
    return Failure(
        reason=f"{_subject(status)} {words}",
        container=status.name,
        is_routed=is_routed,
        by_itself=by_itself,
        soon=by_itself and short,
    )


def _is_short_lived(status: ContainerStatus) -> bool:
    if status.started_at is None or status.finished_at is None:
        return False
    return status.finished_at - status.started_at < SHORT_LIFE


def _gone(name: str, *, is_routed: bool) -> Failure:
    return Failure(
        reason=f"the container {name} was removed by somebody", container=name, is_routed=is_routed, by_itself=False
    )


def _moved(subject: str, name: str = "") -> Failure:
    return Failure(
        reason=f"{subject} does not have the address any more to which visitors are led",
        container=name,
        is_routed=True,
        by_itself=False,
    )


def _subject(status: ContainerStatus) -> str:
    return f"service {status.labels.get(SERVICE_LABEL, status.name)}"
