"""What exists and should not, as the last round of the reconciler saw it: the rows. `reconcile` says what it is.

The web process shows them: it has no way to the Engine. `previewd leaks` looks at the world itself.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.reconcile import Action, Kind
from orchestrator.tables import leaks, rounds

RECONCILE, FORGE = "reconcile", "forge"
"""The rounds that are recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """A thing that exists and should not."""

    kind: str
    name: str
    preview: str
    """Whose it was; empty when nothing says so."""
    reason: str
    since: datetime | None
    """When a round first saw it; None when none has yet."""


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

    async def dated(self, found: Iterable[Action]) -> list[Leak]:
        """Leaks of a plan that was just made, each with the time at which a round first saw it."""
        since = {(leak.kind, leak.name): leak.since for leak in await self.all()}
        return [
            Leak(
                kind=action.kind,
                name=action.name,
                preview=str(action.preview or ""),
                reason=action.reason,
                since=since.get((action.kind, action.name)),
            )
            for action in found
            if action.leaked
        ]

    async def record(self, found: Iterable[Action], unknown: Collection[Kind], by: str) -> None:
        """Keep what a round found. What it did not find is forgotten, unless nobody could say."""
        seen = {(action.kind.value, action.name): action for action in found if action.leaked}
        gone = leaks.c.kind.not_in([kind.value for kind in unknown])
        async with self._engine.begin() as connection:
            await connection.execute(delete(leaks).where(gone, tuple_(leaks.c.kind, leaks.c.name).not_in(list(seen))))
            for (kind, name), action in sorted(seen.items()):
                values = {"preview": str(action.preview or ""), "reason": action.reason}
                statement = insert(leaks).values(kind=kind, name=name, **values)
                await connection.execute(statement.on_conflict_do_update(index_elements=["kind", "name"], set_=values))
            about = {"by": by, "unknown": sorted(kind.value for kind in unknown), "at": func.now()}
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
