"""The line for connections of the previews' Postgres: who came first is served first, and nobody fails.

A preview without a database joins it when the server has promised all that it has. The sweep calls up as many as there
is room for, and tells the others how the line has moved.
"""

from orchestrator.errors import NoConnectionsLeft
from orchestrator.store import Lease
from worker.context import Hands
from worker.deployment import Deployment

LOOK_SECONDS = 600.0
"""After so long a preview in line looks by itself, should nobody have called it."""

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


async def stand_in_line(deployment: Deployment) -> None:
    """Return when there are connections for this preview and for all before it. Raises NoConnectionsLeft."""
    hands, preview = deployment.hands, deployment.lease.preview
    budget, line = await hands.databases.budget(), await hands.store.line.all()
    needed = hands.settings.connections_per_preview
    before = line.index(preview) if preview in line else len(line)
    if deployment.database_name not in budget.granted and budget.free < (before + 1) * needed:
        raise NoConnectionsLeft(budget.refusal(needed))


async def join(hands: Hands, lease: Lease, error: NoConnectionsLeft) -> None:
    """Let the preview wait for its turn."""
    line = await hands.store.line.all()
    place = line.index(lease.preview) if lease.preview in line else len(line)
    await hands.store.close_deployment(lease, "waiting", error)
    await hands.store.join_line(lease, _reason(place, error.message), LOOK_SECONDS)


async def move_up(hands: Hands) -> None:
    """Call up those for whom there is room by now. Called by the sweep."""
    line = await hands.store.line.all()
    if not line:
        return
    budget, needed = await hands.databases.budget(), hands.settings.connections_per_preview
    room = max(0, budget.free // needed)
    for preview in line[:room]:
        await hands.store.line.call_up(preview)
    for place, preview in enumerate(line[room:], room):
        await hands.store.line.tell_place(preview, _reason(place, budget.refusal(needed)))


def _reason(place: int, arithmetic: str) -> str:
    ordinal = _ORDINALS[place] if place < len(_ORDINALS) else f"number {place + 1}"
    return f"it waits for database connections, {ordinal} in line: {arithmetic}"
