"""The line for whatever a machine may have none left of: served in a fair order, and nobody fails for it.

A preview asks before anything is done for it. Who lacks something waits in our own database and gives its lease back;
as soon as somebody leaves, those are called up for whom there is room. What only the stack can tell, such as whether it
needs a database of ours, is asked for by the step that takes it.
"""

import asyncio
import contextlib
from dataclasses import dataclass

from orchestrator.admission.line import Entry, fair_order, walk
from orchestrator.admission.room import Machine, MachineLimits, Room, room, with_connections, without_connections
from orchestrator.admission.words import leaked
from orchestrator.databases.connections import Budget
from orchestrator.preview.errors import NoConnectionsLeft, NoRoom, OperatorError, TemporaryError
from orchestrator.preview.names import Names, preview_of_database
from orchestrator.preview.state import PreviewId, Resource
from orchestrator.runtime.settings import Settings
from orchestrator.store.claims import Claim
from orchestrator.store.line import LineSnapshot
from orchestrator.store.owned import Owned
from worker.context.context import WorkerContext
from worker.deployment.deployment import Deployment

LOOK_SECONDS = 600.0
"""After so long a preview in line looks by itself, should nobody have called it."""


async def enter(context: WorkerContext, claim: Claim, row: Owned, commit: str, reason: str) -> None:
    """Return with a slot when it is this preview's turn. Raises NoRoom, with the observation.

    On a machine with room that is one look at our own database. The previews' Postgres is asked only for a preview that
    is known to need it; any other passes those who wait for that server, until they are called.
    """
    settings, machine = context.settings, context.machine.look()
    postgres = await _ask_postgres(context) if Resource.CONNECTIONS in row.line_needs else None

    def judge(snapshot: LineSnapshot, own: Entry) -> NoRoom | None:
        rivals = [each for each in snapshot.line if postgres or each.called or not _needs_connections(each)]
        found = _room(settings, snapshot, machine, postgres)
        turns = walk(fair_order((*rivals, own), snapshot.served), found.free)
        lacks = next(turn.lacks for turn in turns if turn.entry is own)
        return None if lacks is None else NoRoom(found.said[lacks], lacks)

    await claim.line.let_in(commit, reason, settings.subnet_pool, judge)


async def require_connections(deployment: Deployment) -> None:
    """Return when there are connections for this database and for all before it. Raises NoConnectionsLeft."""
    context, preview = deployment.context, deployment.claim.preview
    needed, postgres = context.settings.connections_per_preview, await _ask_postgres(context)
    budget = postgres.budget
    if isinstance(budget, TemporaryError):
        raise budget
    if deployment.database_name in budget.granted:
        return
    snapshot = await context.store.line.read(context.settings.subnet_pool)
    before = snapshot.promised - {preview}
    if preview not in snapshot.promised:  # it never waited: all those who do come first
        before |= {entry.preview for entry in snapshot.line if _needs_connections(entry)}
    if budget.free < (1 + _ungranted(context.settings, before, budget)) * needed:
        raise NoConnectionsLeft(budget.refusal(needed) + leaked(Resource.CONNECTIONS, postgres.orphans))


async def join(context: WorkerContext, claim: Claim, error: NoRoom) -> None:
    """Let the preview wait for its turn."""
    await claim.deployments.close("waiting", error)
    await claim.line.join(error, context.settings.subnet_pool, LOOK_SECONDS)


async def move_up(context: WorkerContext) -> None:
    """Call up those for whom there is room by now, and tell the others how the line has moved."""
    if await context.store.line.is_empty():
        return
    machine, snapshot = context.machine.look(), await context.store.line.read(context.settings.subnet_pool)
    postgres = await _ask_postgres(context) if any(map(_needs_connections, snapshot.line)) else None
    found = _room(context.settings, snapshot, machine, postgres)
    turns = walk(fair_order(snapshot.line, snapshot.served), found.free)
    free = [turn.entry for turn in turns if turn.lacks is None]
    called = [entry for entry in free if not (entry.called or entry.resting)]
    for entry in called:
        await context.store.line.call_up(entry.preview)
    await context.store.line.tell(turns, found.said)
    # Side by side: each takes seconds while Redis hangs.
    await asyncio.gather(*(context.queue.wake(entry.preview, entry.generation) for entry in called))


async def call_next(context: WorkerContext) -> None:
    """Somebody left: have the line moved at once. Should that fail, the sweep does it within a second."""
    with contextlib.suppress(TemporaryError, OperatorError):
        await move_up(context)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Postgres:
    """What the previews' Postgres says of its connections."""

    budget: Budget | TemporaryError
    """Or why it does not answer."""
    orphans: int = 0
    """Databases with connections that belong to no live preview."""


async def _ask_postgres(context: WorkerContext) -> _Postgres:
    """A server that is away keeps back those who need it, and nobody else."""
    try:
        budget = await context.databases.budget()
    except TemporaryError as error:
        return _Postgres(budget=error)
    owners = await context.queries.owners()
    found = (preview_of_database(context.settings.instance, role) for role in budget.granted)
    return _Postgres(budget=budget, orphans=sum(owner is not None and owner not in owners for owner in found))


def _room(settings: Settings, snapshot: LineSnapshot, machine: Machine, postgres: _Postgres | None) -> Room:
    found = room(_limits(settings), snapshot.use, machine)
    if postgres is None:
        return found
    if isinstance(postgres.budget, TemporaryError):
        return without_connections(found, postgres.budget.message)
    promised = _ungranted(settings, snapshot.promised, postgres.budget)
    return with_connections(
        found, postgres.budget, settings.connections_per_preview, promised=promised, orphans=postgres.orphans
    )


def _limits(settings: Settings) -> MachineLimits:
    return MachineLimits(
        slots=settings.max_jobs,
        previews=settings.max_previews,
        pool=settings.subnet_pool,
        subnet_prefix=settings.subnet_prefix,
        free_disk_bytes=settings.min_free_disk_bytes,
        free_memory_bytes=settings.min_free_memory_bytes,
    )


def _needs_connections(entry: Entry) -> bool:
    return Resource.CONNECTIONS in entry.needs


def _ungranted(settings: Settings, previews: frozenset[PreviewId], budget: Budget) -> int:
    """How many of them have no connections yet."""
    return sum(Names(instance=settings.instance, preview=each).database not in budget.granted for each in previews)
