"""Makes wake-ups optional: looks for previews that have work and no worker, and for news that the forge lacks."""

import time

from worker import line
from worker.context import Hands

SWEEP_SECONDS = 1.0

REPEAT_SECONDS = 5.0
"""A preview that has work and no worker is woken at most this often."""


async def sweep(hands: Hands) -> None:
    """One round."""
    attempt = int(time.time() / REPEAT_SECONDS)
    for preview, generation in await hands.store.due():
        await hands.queue.wake_again(preview, generation, attempt)
    for preview in await hands.store.unreported():
        await hands.queue.report(preview)
    await line.move_up(hands)
