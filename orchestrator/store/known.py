"""The rows that the reconciler compares with the world."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, and_, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.databases.record import DatabaseRecord
from orchestrator.preview.records import Known
from orchestrator.preview.state import PreviewId, State
from orchestrator.store.conditions import is_idle, this
from orchestrator.store.connection import autocommit
from orchestrator.store.owned import serving_of
from orchestrator.store.tables import previews


class KnownPreviews:
    def __init__(self, engine: AsyncEngine) -> None:
        self._autocommit = autocommit(engine)

    async def all(self) -> dict[PreviewId, Known]:
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

    async def live_repositories(self) -> list[int]:
        """Repositories that have a preview which is not removed."""
        query = select(previews.c.repository).where(previews.c.number > 0, previews.c.state != State.REMOVED).distinct()
        async with self._autocommit.connect() as connection:
            return list(await connection.scalars(query))


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
    is_idle().label("is_idle"),
    and_(
        previews.c.number > 0,
        or_(previews.c.reported_at.is_(None), previews.c.reported_at < previews.c.updated_at),
        previews.c.updated_at < func.now() - _OVERDUE,
    ).label("is_untold"),
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
