"""Whose turn it is: one image is made by one build at a time, and only so many builds run at once."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

Tell = Callable[[str], Awaitable[None]]
"""Takes the observation behind the waiting."""


class BuildSlots:
    """Shared by all previews that one worker brings up."""

    def __init__(self, builds: int) -> None:
        self._most = self._free = builds
        self._waiting: dict[int, deque[asyncio.Future[None]]] = {}
        """By repository. The first is served next, and goes to the end."""
        self._alone: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def alone(self, image: str) -> asyncio.Lock:
        """A lock on one image: who comes second finds it made."""
        lock = self._alone.get(image)
        if lock is None:
            lock = self._alone[image] = asyncio.Lock()
        return lock

    @asynccontextmanager
    async def build(self, repository: int, tell: Tell) -> AsyncIterator[bool]:
        """One of the builds that may run at once; whether it had to wait, which it is told as soon as it does.

        The repositories that wait are served in turn: many builds of one do not hold up another's first.
        """
        waited = self._free <= 0
        if waited:
            await self._wait(repository, tell)
        else:
            self._free -= 1
        try:
            yield waited
        finally:
            self._pass_on()

    async def _wait(self, repository: int, tell: Tell) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(repository, deque()).append(turn)
        try:
            await tell(f"this machine runs {self._most} build{'' if self._most == 1 else 's'} at once")
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self._pass_on()  # it was our turn already
            turn.cancel()
            raise

    def _pass_on(self) -> None:
        """Give the turn to the next who still waits, or keep it for whoever comes."""
        while self._waiting:
            repository = next(iter(self._waiting))
            queue = self._waiting.pop(repository)
            turn = queue.popleft()
            if queue:
                self._waiting[repository] = queue
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
