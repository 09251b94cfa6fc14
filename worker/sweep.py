"""Makes wake-ups optional: looks for previews that have work and no worker, and for news that the forge lacks."""

import asyncio
import time

import structlog

from worker import line
from worker.context import Hands

SWEEP_SECONDS = 1.0

REPEAT_SECONDS = 5.0
"""A preview that has work and no worker is woken at most this often."""

_log = structlog.get_logger()


async def sweep_regularly(hands: Hands) -> None:
    """Sweep until cancelled. One failed sweep does not end the next."""
    while True:
        try:
            await sweep(hands)
        except Exception as error:  # noqa: BLE001 - see the docstring
            _log.warning("sweep failed", reason=f"{type(error).__name__}: {error}")
        await asyncio.sleep(SWEEP_SECONDS)


async def sweep(hands: Hands) -> None:
    attempt = int(time.time() / REPEAT_SECONDS)
    for preview, generation in await hands.store.due():
        await hands.queue.wake_again(preview, generation, attempt)
    for preview in await hands.store.unreported():
        await hands.queue.report(preview)
    await line.move_up(hands)
