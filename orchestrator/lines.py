"""The line of previews that wait for connections of their Postgres, kept in their rows. `worker.line` moves it."""

from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.preview import PreviewId, State
from orchestrator.tables import CHANNEL, previews


class Line:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def all(self) -> list[PreviewId]:
        """Who waits, or is on the way to a database after having waited: the longest first."""
        query = (
            select(previews.c.repository, previews.c.number)
            .where(previews.c.line_joined_at.is_not(None))
            .order_by(previews.c.line_joined_at, previews.c.repository, previews.c.number)
        )
        async with self._engine.connect() as connection:
            return [PreviewId(row.repository, row.number) for row in await connection.execute(query)]

    async def call_up(self, preview: PreviewId) -> None:
        """It is this preview's turn: let a worker take it at once."""
        async with self._engine.begin() as connection:
            await connection.execute(update(previews).where(_waits(preview)).values(retry_at=None))

    async def tell_place(self, preview: PreviewId, reason: str) -> None:
        """Say how the line has moved. Not guarded by a lease: nobody works on what waits."""
        async with self._engine.begin() as connection:
            result = await connection.execute(
                update(previews)
                .where(_waits(preview), previews.c.reason != reason)
                .values(reason=reason, updated_at=func.clock_timestamp())
            )
            if result.rowcount:
                await connection.execute(select(func.pg_notify(CHANNEL, str(preview))))


def _waits(preview: PreviewId) -> ColumnElement[bool]:
    return and_(
        previews.c.repository == preview.repository,
        previews.c.number == preview.number,
        previews.c.state == State.WAITING,
        previews.c.line_joined_at.is_not(None),
    )
