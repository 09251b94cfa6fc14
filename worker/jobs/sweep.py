"""Finds previews that have work and no worker, and news that the forge lacks. With it wake-ups are optional."""

from worker import admission
from worker.context.context import Hands
from worker.jobs import kinds

SWEEP_SECONDS = 1.0


async def sweep(hands: Hands) -> None:
    """One round."""
    for preview, _ in await hands.store.due():
        kinds.converge(hands, preview)
    for preview in await hands.store.unreported():
        kinds.report(hands, preview)
    await admission.move_up(hands)
