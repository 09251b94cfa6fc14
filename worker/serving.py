"""What serves, held against the Engine before it is believed, and what is done when it has fallen.

A container's address may be another's as soon as it has ended, so visitors are led away first. The commit that is
wanted is then brought up again by the usual steps (`converge`); an older one, which may go on serving while the newest
cannot, has its containers started again and is routed to where they are now.
"""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Address
from typing import Any

import structlog
from sqlalchemy import Row

from orchestrator.ports.engine import ContainerStatus
from orchestrator.preview.errors import LaunchError
from orchestrator.preview.names import Names
from orchestrator.preview.records import Serving
from orchestrator.reconcile.liveness import Failure, fall
from orchestrator.reporting.remedies import remedy_for
from orchestrator.store.encryption import DATABASE_PASSWORD
from orchestrator.store.known import serving_of
from orchestrator.store.store import Lease
from worker.cleanup.unserving import discard_unserving
from worker.containers.endings import LOG_TAIL
from worker.context.context import WorkerContext
from worker.deployment.deployment import Deployment

LIVES = 3
LIVES_WITHIN = timedelta(minutes=10)
"""A commit that came up so often, so lately, and ended by itself again, is not brought up once more."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingFailure:
    """What serves does not stand."""

    fall: Failure
    lines: tuple[str, ...]
    """What the container printed last, as it was printed."""

    @property
    def reason(self) -> str:
        return self.fall.reason


async def find_failure(context: WorkerContext, lease: Lease) -> ServingFailure | None:
    """Ask the Engine whether what serves stands; None when it does, or nothing serves."""
    row = await context.store.own(lease)
    if not row.serving_containers:
        return None
    found = fall(serving_of(row), await _present(context, lease), context.settings.memory_bytes)
    if found is None:
        return None
    lines = await context.engine.logs(found.container, LOG_TAIL) if found.container else ()
    return ServingFailure(fall=found, lines=lines)


async def lead_away(context: WorkerContext, lease: Lease, fallen: ServingFailure) -> None:
    """Lead nobody to an address that may be another's by now."""
    _log.info("fallen", preview=str(lease.preview), reason=fallen.reason)
    if fallen.fall.is_routed:
        await context.store.hide(lease)


async def require_another_life(deployment: Deployment, fallen: ServingFailure) -> None:
    """Raises LaunchError when this commit ends by itself again and again."""
    store = deployment.context.store
    if fallen.fall.by_itself and await store.lives(deployment.lease, deployment.commit, LIVES_WITHIN) >= LIVES:
        minutes = int(LIVES_WITHIN.total_seconds() // 60)
        raise LaunchError(
            f"{fallen.reason}, after it had come up {LIVES} times within {minutes} minutes",
            remedy_for(fallen.lines) or "see its last lines, and push a commit that stays up",
            fallen.lines,
        )


async def tell(deployment: Deployment, fallen: ServingFailure) -> None:
    """Say in the log and on the pull request why a commit that was ready is brought up again."""
    await deployment.secret(DATABASE_PASSWORD)  # loads all of them, so that none is told
    said = deployment.journal.clean(f"it is brought up again, because {fallen.reason}")
    deployment.notes.append(said)
    await deployment.journal.say(said)
    for line in fallen.lines:
        await deployment.journal.say(f"  {line}")


async def keep_serving(context: WorkerContext, lease: Lease) -> None:
    """Have the older commit serve on while the newest may not or cannot: start it again, or let nothing serve."""
    fallen = await find_failure(context, lease)
    if fallen is None or not fallen.fall.is_routed:
        return
    await lead_away(context, lease, fallen)
    row = await context.store.own(lease)
    upstream = None if fallen.fall.soon else await _start_again(context, lease, row)
    if upstream is not None:
        _log.info("started again", preview=str(lease.preview), upstream=upstream)
        await context.store.show(lease, upstream)
        return
    commit = (row.serving_commit or "")[:12]
    await context.store.unroute(lease)
    await discard_unserving(context, lease)
    await context.store.advance(
        lease, row.state, f"{row.reason}; {commit} served, and does not any more: {fallen.reason}"
    )


async def _start_again(context: WorkerContext, lease: Lease, row: Row[Any]) -> str | None:
    """Start what ran; returns where visitors are to be led, or None when it does not run."""
    serving = serving_of(row)
    for status in _in_order(await _present(context, lease), serving):
        with contextlib.suppress(LaunchError):
            await context.engine.start(status.id)
    present = {status.name: status for status in await _present(context, lease)}
    routed = present.get(serving.routed_name)
    if routed is None or not routed.running:
        return None
    address = await _address(context, routed)
    return f"{address}:{serving.routed.rpartition(':')[2]}" if address else None


def _in_order(present: Iterable[ContainerStatus], serving: Serving) -> list[ContainerStatus]:
    """As they were made: what shares another's network or volumes was made after it."""
    down = [one for one in present if one.name in serving.running and not (one.running or one.restarting)]
    return sorted(down, key=lambda one: one.created_at)


async def _address(context: WorkerContext, status: ContainerStatus) -> str | None:
    """On a network of the preview, one that also leads outwards first: the proxy may be a container itself."""
    for name, address in sorted(status.addresses.items(), key=lambda item: ("-internal" in item[0], item[0])):
        subnet = await context.store.subnet_of(name)
        if subnet is not None and IPv4Address(address) in subnet:
            return address
    return None


async def _present(context: WorkerContext, lease: Lease) -> list[ContainerStatus]:
    return await context.engine.containers(Names(instance=context.settings.instance, preview=lease.preview).labels())
