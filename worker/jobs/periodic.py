"""What a worker does again and again beside its jobs: sweeping, watching, backing up, keeping house."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NoReturn

import structlog

from worker.context.context import WorkerContext

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodicTask:
    """One round of it, and the pause between two, in seconds."""

    name: str
    round: Callable[[WorkerContext], Awaitable[None]]
    pause: float


async def run_periodically(task: PeriodicTask, context: WorkerContext) -> NoReturn:
    """Do it until cancelled. Whatever ends one round does not end the next: a dependency may be away for a while."""
    while True:
        try:
            await task.round(context)
        except Exception as error:  # noqa: BLE001 - see the docstring
            _log.warning("a round failed", task=task.name, reason=f"{type(error).__name__}: {error}")
        await asyncio.sleep(task.pause)
