"""Which backups of previews' databases there are, and when the next is due: the rows. `dumps` takes them.

They go with their preview: who wants to keep one takes a dump to a file of their own.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator.preview.state import PreviewId
from orchestrator.store.conditions import key, of
from orchestrator.store.tables import backup_schedules, backups

USUAL_KEEP = 7
"""How many backups of a preview are kept when nobody says otherwise, the newest."""

AGAIN_SECONDS = 600.0
"""When a scheduled backup failed, it is tried again after so long, or sooner when the next one is due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """One backup, or one that failed and why."""

    id: int
    preview: PreviewId
    file: str
    """Its name in the preview's folder; empty when it failed."""
    bytes: int
    error: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When backups of a preview are taken by themselves."""

    every: timedelta
    keep: int
    due_at: datetime


class Backups:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def schedule(self, preview: PreviewId, every: timedelta, keep: int) -> None:
        """From now on take one every so often, the first at once."""
        values = {"every_seconds": round(every.total_seconds()), "keep": keep, "due_at": func.now()}
        statement = postgresql.insert(backup_schedules).values(**key(preview), **values)
        async with self._engine.begin() as connection:
            await connection.execute(
                statement.on_conflict_do_update(index_elements=["repository", "number"], set_=values)
            )

    async def unschedule(self, preview: PreviewId) -> None:
        """Take none by itself any more; those that are there stay."""
        async with self._engine.begin() as connection:
            await connection.execute(delete(backup_schedules).where(of(backup_schedules, preview)))

    async def schedule_of(self, preview: PreviewId) -> Schedule | None:
        async with self._engine.connect() as connection:
            query = select(backup_schedules).where(of(backup_schedules, preview))
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        return Schedule(every=timedelta(seconds=row.every_seconds), keep=row.keep, due_at=row.due_at)

    async def claim(self) -> list[PreviewId]:
        """Previews of which a backup is due. Each is due once: for one worker, and again when its time comes."""
        following = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, backup_schedules.c.every_seconds)
        statement = (
            update(backup_schedules)
            .where(backup_schedules.c.due_at <= func.now())
            .values(due_at=following)
            .returning(backup_schedules.c.repository, backup_schedules.c.number)
        )
        async with self._engine.begin() as connection:
            return [PreviewId(row.repository, row.number) for row in await connection.execute(statement)]

    async def succeeded(self, preview: PreviewId, file: str, size: int) -> Backup:
        """Record one. What failed before it is of no interest any more."""
        async with self._engine.begin() as connection:
            await connection.execute(delete(backups).where(of(backups, preview), backups.c.file == ""))
            statement = insert(backups).values(**key(preview), file=file, bytes=size).returning(backups)
            return _backup((await connection.execute(statement)).one())

    async def failed(self, preview: PreviewId, error: str) -> None:
        """Record why there is none, and try again before long if it was a scheduled one."""
        soon = func.now() + timedelta(seconds=AGAIN_SECONDS)
        async with self._engine.begin() as connection:
            await connection.execute(delete(backups).where(of(backups, preview), backups.c.file == ""))
            await connection.execute(insert(backups).values(**key(preview), error=error))
            await connection.execute(
                update(backup_schedules)
                .where(of(backup_schedules, preview))
                .values(due_at=func.least(backup_schedules.c.due_at, soon))
            )

    async def of(self, preview: PreviewId) -> list[Backup]:
        """All of a preview, newest first."""
        return await self._read(of(backups, preview))

    async def find(self, number: int) -> Backup | None:
        """The one of this id, of whatever preview; None also for one that failed."""
        found = await self._read((backups.c.id == number) & (backups.c.file != ""))
        return found[0] if found else None

    async def forget(self, ids: list[int]) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(delete(backups).where(backups.c.id.in_(ids)))

    async def _read(self, condition: Any) -> list[Backup]:
        query = select(backups).where(condition).order_by(backups.c.id.desc())
        async with self._engine.connect() as connection:
            return [_backup(row) for row in await connection.execute(query)]


async def forget_all(connection: AsyncConnection, preview: PreviewId) -> None:
    """The preview is removed. Done by its claim, which looks at the lease in the same transaction."""
    for table in (backups, backup_schedules):
        await connection.execute(delete(table).where(of(table, preview)))


def _backup(row: Row[Any]) -> Backup:
    return Backup(
        id=row.id,
        preview=PreviewId(row.repository, row.number),
        file=row.file,
        bytes=row.bytes,
        error=row.error,
        at=row.at,
    )
