"""The rows that the reconciler compares with the world, and how it has a preview looked at: by its generation alone."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, any_, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.databases.record import DatabaseRecord
from orchestrator.preview.records import Known, Serving
from orchestrator.preview.state import PreviewId
from orchestrator.store.conditions import is_free, this
from orchestrator.store.connection import autocommit
from orchestrator.store.tables import CHANNEL, previews, subnets


class Looks:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine, self._autocommit = engine, autocommit(engine)

    async def known(self) -> dict[PreviewId, Known]:
        """Every preview and template that we have a row of, removed ones too."""
        async with self._autocommit.connect() as connection:
            rows = await connection.execute(_KNOWN)
            return {PreviewId(row.repository, row.number): _known(row) for row in rows}

    async def has(self, preview: PreviewId) -> bool:
        """Whether we have a row of it."""
        async with self._autocommit.connect() as connection:
            return bool(await connection.scalar(select(exists().where(this(preview)))))

    async def has_any_of(self, repository: int) -> bool:
        """Whether we have a row of any preview of this repository."""
        async with self._autocommit.connect() as connection:
            return bool(await connection.scalar(select(exists().where(previews.c.repository == repository))))

    async def subnets(self) -> dict[str, PreviewId]:
        """By network: whose it is."""
        async with self._autocommit.connect() as connection:
            rows = await connection.execute(select(subnets).where(subnets.c.network.is_not(None)))
            return {row.network: PreviewId(row.repository, row.number) for row in rows}

    async def look(self, preview: PreviewId) -> int | None:
        """Have it looked at; its generation. None when that is to be done, or being done, anyway."""
        return await self._raise(preview, _is_idle())

    async def once_more(self, preview: PreviewId) -> int | None:
        """The same for who acts on it: it is looked at again as soon as that is done with."""
        return await self._raise(preview)

    async def clear(self, preview: PreviewId) -> int | None:
        """The same, though nothing seems to be left to do: whatever is found of a removed preview is removed."""
        return await self._raise(preview, _is_idle(), asked=[previews.c.forced])

    async def fell(self, preview: PreviewId, container: str) -> int | None:
        """The same, if this container is one that serves. What a worker is at, it ends itself."""
        return await self._raise(preview, _is_idle(), any_(previews.c.serving_containers) == container)

    async def _raise(
        self, preview: PreviewId, *where: ColumnElement[bool], asked: Sequence[ColumnElement[Any]] = ()
    ) -> int | None:
        """Several who ask at once raise it once. The router reads the row anew, whatever has changed."""
        following = previews.c.generation + 1
        values: dict[Any, Any] = {previews.c.generation: following, previews.c.retry_at: None, previews.c.attempts: 0}
        async with self._engine.begin() as connection:
            generation: int | None = await connection.scalar(
                update(previews)
                .where(this(preview), *where)
                .values(values | dict.fromkeys(asked, following))
                .returning(previews.c.generation)
            )
            await connection.execute(select(func.pg_notify(CHANNEL, str(preview))))
        return generation


def _is_idle() -> ColumnElement[bool]:
    """Everything was acted upon, and nobody acts."""
    return (previews.c.settled >= previews.c.generation) & is_free()


_OVERDUE = timedelta(minutes=1)
"""What the forge should be told takes a moment, and longer when hundreds are to be told."""

_KNOWN = select(
    previews.c.repository,
    previews.c.number,
    previews.c.state,
    previews.c.reason,
    previews.c.commit,
    previews.c.branch,
    previews.c.host,
    previews.c.generation,
    previews.c.serving_upstream,
    previews.c.serving_routed,
    previews.c.serving_containers,
    previews.c.serving_running,
    previews.c.database,
    previews.c.forge_deployments,
    previews.c.reported_at,
    previews.c.report_attempts,
    _is_idle().label("is_idle"),
    and_(
        previews.c.number > 0,
        or_(previews.c.reported_at.is_(None), previews.c.reported_at < previews.c.updated_at),
        previews.c.updated_at < func.now() - _OVERDUE,
    ).label("is_untold"),
)


def serving_of(row: Row[Any]) -> Serving:
    """What a preview's row says of what serves."""
    return Serving(
        upstream=row.serving_upstream,
        routed=row.serving_routed,
        containers=frozenset(row.serving_containers),
        running=frozenset(row.serving_running),
    )


def _known(row: Any) -> Known:
    return Known(
        preview=PreviewId(row.repository, row.number),
        state=row.state,
        reason=row.reason,
        commit=row.commit,
        branch=row.branch,
        host=row.host,
        generation=row.generation,
        serving=serving_of(row),
        steady=row.is_idle,
        snapshots=frozenset(_snapshots(DatabaseRecord.read(row.database))),
        untold=_untold(row) if row.is_untold else "",
        shown=frozenset(row.forge_deployments),
    )


def _untold(row: Row[Any]) -> str:
    last = f"was told last at {row.reported_at:%Y-%m-%d %H:%M} UTC" if row.reported_at else "was never told of it"
    times = f", and refused {row.report_attempts} times since" if row.report_attempts else ""
    return f"the pull request {last}{times}; the worker goes on trying"


def _snapshots(record: DatabaseRecord | None) -> Collection[str]:
    return (record.rollback.snapshot,) if record and record.rollback else ()
