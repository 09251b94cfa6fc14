"""The jobs that run in this worker now. Made with its context; what a job does stands in `worker.jobs`."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping

import structlog

from orchestrator.preview.state import PreviewId

PAUSE_SECONDS = 5.0
"""A preview whose job ended by a fault of the machine is left alone for so long, or the sweep would spin."""

Work = Callable[[], Awaitable[None]]

_log = structlog.get_logger()


class Tasks:
    """The jobs that run now. Of one kind, a preview has at most one: two workers are held apart by the lease.

    `most` bounds a kind: hundreds of previews that are due at once would take turns at our database until none of them
    could keep its lease. Whoever is not begun stays due, and the sweep asks again.
    """

    def __init__(self, most: Mapping[str, int] | None = None) -> None:
        self._most = most or {}
        self._tasks: dict[tuple[str, PreviewId], asyncio.Task[None]] = {}
        self._failed: dict[tuple[str, PreviewId], float] = {}

    def start(self, kind: str, preview: PreviewId, work: Work, seconds: float) -> None:
        """Run `work` for at most `seconds`: unless the preview's last job of this kind runs, or failed just now.

        Nothing happens either while as many run as may.
        """
        key = (kind, preview)
        if key in self._tasks or self.count(kind) >= self._most.get(kind, sys.maxsize):
            return
        if time.monotonic() < self._failed.get(key, 0.0):
            return
        self._failed.pop(key, None)
        task = asyncio.create_task(self._run(key, work, seconds), name=f"{kind} {preview}")
        self._tasks[key] = task
        task.add_done_callback(lambda _: self._tasks.pop(key))

    def count(self, kind: str) -> int:
        return sum(running == kind for running, _ in self._tasks)

    async def end(self) -> None:
        """Cancel what runs and wait until it has given its leases back."""
        while tasks := list(self._tasks.values()):
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, key: tuple[str, PreviewId], work: Work, seconds: float) -> None:
        """The edge: whatever a fault is, it ends here. The sweep asks for the work again."""
        kind, preview = key
        with structlog.contextvars.bound_contextvars(preview=str(preview)):
            try:
                async with asyncio.timeout(seconds):
                    await work()
            except Exception:  # noqa: BLE001 - see the docstring
                self._failed[key] = time.monotonic() + PAUSE_SECONDS
                _log.exception("job failed", job=kind)
