"""Running things side by side so that nothing outlives what it was started for."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any


async def together(*work: Coroutine[Any, Any, Any]) -> None:
    """Run all of it at once. The first failure cancels the rest, and is raised when the rest has ended."""
    tasks = [asyncio.ensure_future(one) for one in work]
    if not tasks:
        return
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        await _end(tasks)
    for task in done:
        task.result()


async def alongside(work: Coroutine[Any, Any, None], watch: Coroutine[Any, Any, None]) -> None:
    """Run `work` while `watch` agrees: when the watch raises, the work is cancelled and the watch's reason raised."""
    working, watching = asyncio.ensure_future(work), asyncio.ensure_future(watch)
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        first = working if working.done() else watching
    finally:
        await _end([working, watching])
    first.result()


async def _end(tasks: Sequence[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
