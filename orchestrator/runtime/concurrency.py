"""Running things side by side so that nothing outlives what it was started for."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


async def run_all(*work: Coroutine[Any, Any, Any]) -> None:
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


async def run_watched(work: Coroutine[Any, Any, None], watch: Coroutine[Any, Any, None]) -> None:
    """Run `work` while `watch` agrees: when the watch raises, the work is cancelled and the watch's reason raised."""
    working, watching = asyncio.ensure_future(work), asyncio.ensure_future(watch)
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        first = working if working.done() else watching
    finally:
        await _end([working, watching])
    first.result()


async def in_thread(call: Callable[..., T], *args: Any, executor: Executor | None = None, **kwargs: Any) -> T:
    """Run what blocks in a thread, of `executor` if one is given. A cancelled task waits for it: no effect comes after.

    What is to have an effect asks the fence by itself: all threads may be taken, and the call begins when one is free.
    """
    inherit = contextvars.copy_context().run
    thread = asyncio.get_running_loop().run_in_executor(executor, partial(inherit, call, *args, **kwargs))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        await _finished(thread)
        raise


async def _finished(thread: "asyncio.Future[Any]") -> None:
    """Wait for a thread's call, which has an end of its own, through whatever else cancels us meanwhile."""
    while not thread.done():
        try:
            await asyncio.wait([thread])
        except asyncio.CancelledError:
            continue
    thread.exception()  # its outcome is nobody's any more


async def _end(tasks: Sequence[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
