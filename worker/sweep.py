"""Finds previews that have work and no worker, and news that the forge lacks. With it wake-ups are optional."""

from worker import jobs, line
from worker.context import Hands

SWEEP_SECONDS = 1.0


async def sweep(hands: Hands) -> None:
    """One round."""
    for preview, _ in await hands.store.due():
        jobs.converge(hands, preview)
    for preview in await hands.store.unreported():
        jobs.report(hands, preview)
    await line.move_up(hands)
