"""Whether the sweep would find anything: one statement a second, instead of three, while there is nothing to do."""

from sqlalchemy import exists, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.store.conditions import is_due
from orchestrator.store.connection import autocommit
from orchestrator.store.line import stands_in_line
from orchestrator.store.reports import is_to_be_told

_FINDS_WORK = select(or_(exists().where(is_due()), exists().where(is_to_be_told()), exists().where(stands_in_line())))


class Sweep:
    def __init__(self, engine: AsyncEngine) -> None:
        self._autocommit = autocommit(engine)

    async def finds_work(self) -> bool:
        """Whether a preview has work and no worker, is to be told of, or stands in line."""
        async with self._autocommit.connect() as connection:
            return bool(await connection.scalar(_FINDS_WORK))
