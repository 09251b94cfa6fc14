"""What the watchdog measured, kept in previewd's own Postgres for the web process, which sees no server of previews."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator.databases.connections import Budget
from orchestrator.databases.usage import QUIET, DatabaseUse, Measured, ServerUse, is_crowded
from orchestrator.preview.state import PreviewId
from orchestrator.store.conditions import notify, of, this
from orchestrator.store.connection import autocommit
from orchestrator.store.tables import database_usage, previews, server_usage

THE_SERVER = 1
"""Its table has one row."""


class Usage:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine, self._autocommit = engine, autocommit(engine)

    async def record(self, measured: Mapping[PreviewId, Measured], budget: Budget) -> None:
        """Keep one round of measurements; those of databases that are gone go too.

        A preview's row counts as changed when its people have to be told something else, and only then.
        """
        async with self._engine.begin() as connection:
            before = await _all(connection)
            for preview in before.keys() - measured.keys():
                await connection.execute(delete(database_usage).where(of(database_usage, preview)))
            for preview, found in sorted(measured.items()):
                after = await _put(connection, preview, found, before.get(preview))
                if after.level != (before[preview].level if preview in before else QUIET):
                    await _tell(connection, preview)
            await _put_server(connection, budget)

    async def of(self, preview: PreviewId) -> DatabaseUse | None:
        """None until it was measured, and when the preview has no database of ours."""
        async with self._autocommit.connect() as connection:
            row = (await connection.execute(select(database_usage).where(of(database_usage, preview)))).one_or_none()
        return None if row is None else _use(row)

    async def server(self) -> ServerUse | None:
        """None until it was measured."""
        async with self._autocommit.connect() as connection:
            row = (await connection.execute(select(server_usage))).one_or_none()
        if row is None:
            return None
        return ServerUse(
            usable=row.usable,
            promised=row.promised,
            in_use=row.in_use,
            databases=row.databases,
            measured_at=row.measured_at,
        )


async def _all(connection: AsyncConnection) -> dict[PreviewId, DatabaseUse]:
    rows = await connection.execute(select(database_usage))
    return {PreviewId(row.repository, row.number): _use(row) for row in rows}


async def _put(
    connection: AsyncConnection, preview: PreviewId, found: Measured, before: DatabaseUse | None
) -> DatabaseUse:
    crowded = is_crowded(found.connections, found.connection_limit, was=before is not None and before.is_crowded)
    values: dict[str, Any] = {
        "bytes": found.bytes,
        "limit_bytes": found.limit_bytes,
        "connections": found.connections,
        "connection_limit": found.connection_limit,
        "is_crowded": crowded,
        "measured_at": func.now(),
    }
    if found.ended:
        values |= {"ended": found.ended, "ended_at": func.now()}
    statement = insert(database_usage).values(repository=preview.repository, number=preview.number, **values)
    rows = await connection.execute(
        statement.on_conflict_do_update(index_elements=["repository", "number"], set_=values).returning(database_usage)
    )
    return _use(rows.one())


async def _put_server(connection: AsyncConnection, budget: Budget) -> None:
    values: dict[str, Any] = {
        "usable": budget.usable,
        "promised": sum(budget.granted.values()),
        "in_use": sum(count for role, count in budget.in_use.items() if role in budget.granted),
        "databases": len(budget.granted),
        "measured_at": func.now(),
    }
    statement = insert(server_usage).values(id=THE_SERVER, **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))


async def _tell(connection: AsyncConnection, preview: PreviewId) -> None:
    await connection.execute(update(previews).where(this(preview)).values(updated_at=func.clock_timestamp()))
    await notify(connection, preview)


def _use(row: Row[Any]) -> DatabaseUse:
    return DatabaseUse(
        bytes=row.bytes,
        limit_bytes=row.limit_bytes,
        connections=row.connections,
        connection_limit=row.connection_limit,
        is_crowded=row.is_crowded,
        ended=row.ended,
        ended_at=row.ended_at,
        measured_at=row.measured_at,
    )
