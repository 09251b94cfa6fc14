"""Whose turn it is: one image is made by one build at a time, and only so many builds run at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from orchestrator.ports import Log


class Turns:
    """Shared by all previews that one worker brings up."""

    def __init__(self, builds: int) -> None:
        self._most = builds
        self._builds = asyncio.Semaphore(builds)
        self._alone: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def alone(self, image: str) -> asyncio.Lock:
        """A lock on one image: who comes second finds it made."""
        lock = self._alone.get(image)
        if lock is None:
            lock = self._alone[image] = asyncio.Lock()
        return lock

    @asynccontextmanager
    async def build(self, subject: str, log: Log) -> AsyncIterator[None]:
        """One of the builds that may run at once. Whoever has to wait is told so."""
        if self._builds.locked():
            await log(f"{subject}: waiting for its turn; this machine runs {self._most} builds at once")
        async with self._builds:
            yield
