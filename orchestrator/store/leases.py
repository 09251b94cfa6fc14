"""The lease: the right to act on one preview, as a token in its row, ten seconds long on the database's clock.

Each write under it takes the preview's row and looks at the token first. A worker that lost its lease gets LeaseLost
and has no further effect.
"""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, NoReturn

from sqlalchemy import ColumnElement, Row, and_, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator.preview.errors import LeaseLost
from orchestrator.preview.state import PreviewId
from orchestrator.runtime.fence import LEASE_SECONDS, Fence
from orchestrator.store.conditions import this
from orchestrator.store.connection import autocommit
from orchestrator.store.faults import DATABASE_FAULTS
from orchestrator.store.tables import previews

RENEW_SECONDS = 1.0
"""How often a lease is renewed: after so long at most, its holder knows of a push or a close."""

_TERM = timedelta(seconds=LEASE_SECONDS)


class Lease:
    """Held until it is released, or not renewed in time. All that its holder writes of the preview goes through it."""

    def __init__(self, engine: AsyncEngine, preview: PreviewId) -> None:
        self.preview = preview
        self.token = uuid.uuid4()
        self.fence = Fence()
        """What stops the effects that no token can stop: renewing extends it, and who acts asks it."""
        self._engine, self._autocommit = engine, autocommit(engine)
        self._generation = 0
        self._raised = asyncio.Event()

    async def take(self, condition: ColumnElement[bool]) -> bool:
        """Whether the preview's row met the condition, and the lease is ours now."""
        sent_at = self.fence.clock()
        async with self._autocommit.connect() as connection:
            result = await connection.execute(
                update(previews)
                .where(this(self.preview), condition)
                .values(lease_token=self.token, lease_expires_at=func.now() + _TERM)
            )
        if not result.rowcount:
            return False
        self.fence.extend(sent_at)
        return True

    async def renew(self) -> int:
        """Keep the lease for another term and return the newest generation. Raises LeaseLost."""
        sent_at = self.fence.clock()
        async with self._autocommit.connect() as connection:
            generation = await connection.scalar(
                update(previews)
                .where(self.holds())
                .values(lease_expires_at=func.now() + _TERM)
                .returning(previews.c.generation)
            )
        if generation is None:
            raise self._lost()
        self.fence.extend(sent_at)
        self._publish(int(generation))
        return int(generation)

    async def keep(self) -> None:
        """Renew it. While Postgres does not answer, which may be short, it surely holds for some seconds anyway."""
        try:
            await self.renew()
        except DATABASE_FAULTS:
            if not self.fence.is_up:
                raise

    async def keep_renewing(self) -> NoReturn:
        """Keep it for as long as something is done under it; ends by raising when it is lost."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            await self.keep()

    async def newer(self, generation: int) -> int:
        """Wait until a renewal brings a newer generation than this, and return it. For one task at a time."""
        while self._generation <= generation:
            self._raised.clear()
            await self._raised.wait()
        return self._generation

    async def release(self) -> bool:
        """Give the lease back, and with it the slot; after this nothing more may happen under it.

        Whether others may find room now: it had a slot, or nothing to wait for. Nothing is done for a lease that was
        lost. One that cannot be given back, because Postgres is away, runs out by itself: that is no error of its own.
        """
        self.fence.fall()
        row = None
        with contextlib.suppress(*DATABASE_FAULTS):
            async with self._autocommit.connect() as connection:
                result = await connection.execute(
                    update(previews)
                    .where(self.holds())
                    .values(lease_token=None, lease_expires_at=None)
                    .returning(previews.c.admitted_token, previews.c.line_joined_at)
                )
                row = result.one_or_none()
        return row is not None and (row.admitted_token == self.token or row.line_joined_at is None)

    async def read(self) -> Row[Any]:
        """The preview's row. Raises LeaseLost."""
        async with self._autocommit.connect() as connection:
            row = (await connection.execute(select(previews).where(self.holds()))).one_or_none()
        if row is None:
            raise self._lost()
        return row

    @asynccontextmanager
    async def owned(self) -> AsyncIterator[tuple[AsyncConnection, Row[Any]]]:
        """A transaction that has locked the preview's row, and the row. Raises LeaseLost."""
        async with self._engine.begin() as connection:
            result = await connection.execute(select(previews).where(self.holds()).with_for_update())
            row = result.one_or_none()
            if row is None:
                raise self._lost()
            yield connection, row

    def holds(self) -> ColumnElement[bool]:
        """The preview's row, if the lease is still ours."""
        return and_(this(self.preview), previews.c.lease_token == self.token, previews.c.lease_expires_at > func.now())

    def _publish(self, generation: int) -> None:
        if generation > self._generation:
            self._generation = generation
            self._raised.set()

    def _lost(self) -> LeaseLost:
        self.fence.fall()
        return LeaseLost(f"the lease of preview {self.preview} is no longer ours")
