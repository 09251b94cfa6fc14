"""Hears from Postgres which previews change, and passes it on to the router and to open pages.

One connection listens. While it is away nothing is heard, so at each new connection everybody is told to look at
everything again (ALL).
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import asyncpg
import structlog

from orchestrator.preview.state import PreviewId
from orchestrator.store.tables import CHANNEL

ALL: Final = None
"""In place of a preview: any of them may have changed."""

FIRST_DELAY_SECONDS = 0.2
LONGEST_DELAY_SECONDS = 5.0
ALIVE_SECONDS = 10.0
"""How often the connection is tried: one that was cut without a word would be silent for ever."""
CONNECT_SECONDS = 3.0
BACKLOG = 1000
"""Changes that a slow reader may have before it; then it is told ALL instead."""

logger = structlog.get_logger()


class Subscription:
    """What one reader has not seen yet, each preview once."""

    def __init__(self) -> None:
        self._pending: dict[PreviewId | None, None] = {}
        self._something = asyncio.Event()
        self._closed = asyncio.Event()

    def put(self, change: PreviewId | None) -> None:
        """Add a change; ALL stands for every other."""
        if change is ALL or len(self._pending) >= BACKLOG:
            self._pending.clear()
            change = ALL
        if ALL not in self._pending:
            self._pending[change] = None
        self._something.set()

    def close(self) -> None:
        """End the reader's iteration."""
        self._closed.set()
        self._something.set()

    @property
    def is_open(self) -> bool:
        """Whether there may be more to hear."""
        return not self._closed.is_set()

    async def pause(self, seconds: float) -> bool:
        """Sleep for `seconds`, less when the subscription is closed; whether it is still open."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        return self.is_open

    async def wait(self, seconds: float) -> bool:
        """Wait for a change, at most `seconds`; whether it is still open."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._something.wait()
        return self.is_open

    def taken(self) -> list[PreviewId | None]:
        """Take what is pending, oldest first."""
        if not self._closed.is_set():
            self._something.clear()
        taken = list(self._pending)
        self._pending.clear()
        return taken

    async def __aiter__(self) -> AsyncIterator[PreviewId | None]:
        """Each change, until the subscription is closed."""
        while True:
            await self._something.wait()
            if self._closed.is_set():
                return
            for change in self.taken():
                yield change


class Changes:
    """The one who listens, and those who want to hear."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._subscriptions: set[Subscription] = set()
        self._closed = False
        self.connected = asyncio.Event()

    @contextmanager
    def subscribe(self) -> Iterator[Subscription]:
        """Hear every change from now on."""
        subscription = Subscription()
        self._subscriptions.add(subscription)
        if self._closed:
            subscription.close()
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def close(self) -> None:
        """End every subscription, also those still to come: the process stops."""
        self._closed = True
        for subscription in self._subscriptions:
            subscription.close()

    async def run(self) -> None:
        """Listen, and connect again whenever the connection is lost; never returns."""
        delay = FIRST_DELAY_SECONDS
        while True:
            try:
                await self._listen()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
                delay = FIRST_DELAY_SECONDS if self.connected.is_set() else min(delay * 2, LONGEST_DELAY_SECONDS)
                self.connected.clear()
                logger.warning("not listening to Postgres", error=repr(error), again_in=delay)
            await asyncio.sleep(delay)

    async def _listen(self) -> None:
        connection = await asyncpg.connect(self._url, timeout=CONNECT_SECONDS)
        try:
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(CHANNEL, self._heard)
            self.connected.set()
            self._tell(ALL)
            await _until_lost(connection, lost)
        finally:
            connection.terminate()

    def _heard(self, _: object, __: int, ___: str, payload: object) -> None:
        try:
            self._tell(PreviewId.parse(str(payload)))
        except ValueError:
            self._tell(ALL)

    def _tell(self, change: PreviewId | None) -> None:
        for subscription in self._subscriptions:
            subscription.put(change)


async def _until_lost(connection: "asyncpg.Connection[asyncpg.Record]", lost: asyncio.Event) -> None:
    """Raises what tells that the connection is gone."""
    while not lost.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(ALIVE_SECONDS):
                await lost.wait()
        await connection.execute("SELECT 1", timeout=CONNECT_SECONDS)
