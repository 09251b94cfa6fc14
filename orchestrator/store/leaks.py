"""What exists and should not, as the last round of the reconciler saw it: the rows. `reconcile.plan` says what it is.

The web process shows them: it has no way to the Engine. `previewd leaks` looks at the world itself.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.preview.records import Leak
from orchestrator.store.tables import leaks, rounds

RECONCILE, FORGE = "reconcile", "forge"
"""The rounds that are recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """The last round, whoever made it."""

    at: datetime
    by: str
    unknown: tuple[str, ...]
    """What nobody could say in it."""


class Leaks:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def all(self) -> list[Leak]:
        """The oldest first."""
        async with self._engine.connect() as connection:
            rows = await connection.execute(select(leaks).order_by(leaks.c.since, leaks.c.kind, leaks.c.name))
            return [Leak(kind=r.kind, name=r.name, preview=r.preview, reason=r.reason, since=r.since) for r in rows]

    async def last_round(self) -> Round | None:
        """None until a worker has made one."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(rounds).where(rounds.c.name == RECONCILE))).one_or_none()
        return None if row is None else Round(at=row.at, by=row.by, unknown=tuple(row.unknown))

    async def dated(self, found: Iterable[Leak]) -> list[Leak]:
        """Leaks that were just found, each with the time at which a round first saw it."""
        since = {(leak.kind, leak.name): leak.since for leak in await self.all()}
        return [replace(leak, since=since.get((leak.kind, leak.name))) for leak in found]

    async def record(self, found: Iterable[Leak], unknown: Collection[str], by: str) -> None:
        """Keep what a round found. What it did not find is forgotten, unless nobody could say (`unknown`)."""
        seen = {(leak.kind, leak.name): leak for leak in found}
        gone = leaks.c.kind.not_in(list(unknown))
        async with self._engine.begin() as connection:
            await connection.execute(delete(leaks).where(gone, tuple_(leaks.c.kind, leaks.c.name).not_in(list(seen))))
            for (kind, name), leak in sorted(seen.items()):
                values = {"preview": leak.preview, "reason": leak.reason}
                statement = insert(leaks).values(kind=kind, name=name, **values)
                await connection.execute(statement.on_conflict_do_update(index_elements=["kind", "name"], set_=values))
            about = {"by": by, "unknown": sorted(unknown), "at": func.now()}
            statement = insert(rounds).values(name=RECONCILE, **about)
            await connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=about))

    async def claim_forge(self, pause: timedelta, by: str) -> bool:
        """Whether it is this worker's turn to list pull requests: it is somebody's once in each pause."""
        values = {"at": func.now() + pause, "by": by}
        claim = (
            insert(rounds)
            .values(name=FORGE, **values)
            .on_conflict_do_update(index_elements=["name"], set_=values, where=rounds.c.at < func.now())
            .returning(rounds.c.name)
        )
        async with self._engine.begin() as connection:
            return await connection.scalar(claim) is not None

    async def rest_forge(self, pause: timedelta) -> None:
        """Pull requests were just listed: let nobody list them again before the pause is over."""
        until = func.greatest(rounds.c.at, func.now() + pause)
        async with self._engine.begin() as connection:
            await connection.execute(update(rounds).where(rounds.c.name == FORGE).values(at=until))
