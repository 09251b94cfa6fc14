"""Checks that the containers which serve are alive, and what is done when they are not.

A container's address may be another's as soon as it has ended, so the route is hidden first. The commit that is
wanted is then brought up again by the usual steps (`converge`); an older one, which may go on serving while the newest
cannot, has its containers started again and is routed to where they are now.
"""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Address

import structlog

from orchestrator.ports.engine import ContainerStatus
from orchestrator.preview.errors import LaunchError
from orchestrator.preview.records import Serving
from orchestrator.reconcile.liveness import Failure, failure_of
from orchestrator.store.claims import Claim
from orchestrator.store.encryption import DATABASE_PASSWORD
from orchestrator.store.owned import Owned
from worker.cleanup.unserving import discard_unserving
from worker.containers.endings import LOG_TAIL
from worker.context.context import WorkerContext
from worker.deployment.deployment import Deployment

MAX_RESTARTS = 3
RESTARTS_WITHIN = timedelta(minutes=10)
"""A commit that came up so often, so lately, and ended by itself again, is not brought up once more."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingFailure:
    """What serves does not stand."""

    failure: Failure
    lines: tuple[str, ...]
    """What the container printed last, as it was printed."""

    @property
    def reason(self) -> str:
        return self.failure.reason


async def find_failure(context: WorkerContext, claim: Claim, row: Owned) -> ServingFailure | None:
    """Ask the Engine whether what serves stands; None when it does, or nothing serves."""
    if not row.serving.containers:
        return None
    found = failure_of(row.serving, await _present(context, claim), context.settings.memory_bytes)
    if found is None:
        return None
    lines = await context.engine.logs(found.container, LOG_TAIL) if found.container else ()
    return ServingFailure(failure=found, lines=lines)


async def hide_failed(claim: Claim, found: ServingFailure) -> None:
    """Lead nobody to an address that may be another's by now."""
    _log.info("what serves has failed", preview=str(claim.preview), reason=found.reason)
    if found.failure.is_routed:
        await claim.serving.hide()


async def require_no_crash_loop(deployment: Deployment, found: ServingFailure) -> None:
    """Raises LaunchError when this commit ends by itself again and again."""
    if (
        found.failure.by_itself
        and await deployment.claim.deployments.times_ready(deployment.commit, RESTARTS_WITHIN) >= MAX_RESTARTS
    ):
        minutes = int(RESTARTS_WITHIN.total_seconds() // 60)
        raise LaunchError(
            f"{found.reason}, after it had come up {MAX_RESTARTS} times within {minutes} minutes",
            "see its last lines, and push a commit that stays up",
            found.lines,
        )


async def tell_why_again(deployment: Deployment, found: ServingFailure) -> None:
    """Say in the log and on the pull request why a commit that was ready is brought up again."""
    await deployment.secret(DATABASE_PASSWORD)  # loads all of them, so that none is told
    said = deployment.journal.clean(f"it is brought up again, because {found.reason}")
    deployment.notes.append(said)
    await deployment.journal.say(said)
    for line in found.lines:
        await deployment.journal.say(f"  {line}")


async def keep_serving(context: WorkerContext, claim: Claim) -> None:
    """Have the older commit serve on while the newest may not or cannot: start it again, or let nothing serve."""
    row = await claim.row()
    found = await find_failure(context, claim, row)
    if found is None or not found.failure.is_routed:
        return
    await hide_failed(claim, found)
    upstream = None if found.failure.soon else await _start_again(context, claim, row)
    if upstream is not None:
        _log.info("started again", preview=str(claim.preview), upstream=upstream)
        await claim.serving.show(upstream)
        return
    commit = (row.serving_commit or "")[:12]
    await claim.serving.unroute()
    await discard_unserving(context, claim)
    await claim.advance(row.state, f"{row.reason}; {commit} served, and does not any more: {found.reason}")


async def _start_again(context: WorkerContext, claim: Claim, row: Owned) -> str | None:
    """Start what ran; returns where visitors are to be led, or None when it does not run."""
    serving = row.serving
    for status in _in_order(await _present(context, claim), serving):
        with contextlib.suppress(LaunchError):
            await context.engine.start(status.id)
    present = {status.name: status for status in await _present(context, claim)}
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
        subnet = await context.store.subnets.of(name)
        if subnet is not None and IPv4Address(address) in subnet:
            return address
    return None


async def _present(context: WorkerContext, claim: Claim) -> list[ContainerStatus]:
    return await context.engine.containers(context.names(claim.preview).labels())
