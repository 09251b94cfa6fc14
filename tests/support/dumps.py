"""previewd's own state taken and put back, as an operator does it with a dump: rows, and how far they were counted."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, MetaData, Table, text
from sqlalchemy.ext.asyncio import AsyncEngine

Dump = Mapping[str, Sequence[Mapping[str, Any]]]
"""The rows of each table."""


async def tables_of(database: AsyncEngine) -> list[Table]:
    """The tables as they are now, those first that others refer to."""

    def reflect(connection: Connection) -> MetaData:
        metadata = MetaData()
        metadata.reflect(connection)
        return metadata

    async with database.connect() as connection:
        metadata = await connection.run_sync(reflect)
    return [table for table in metadata.sorted_tables if table.name != "alembic_version"]


async def take(database: AsyncEngine) -> Dump:
    tables = await tables_of(database)
    async with database.connect() as connection:
        return {
            table.name: [dict(row._mapping) for row in await connection.execute(table.select())] for table in tables
        }


async def put_back(database: AsyncEngine, dump: Dump) -> None:
    """Make the database hold what the dump does, and nothing else; what its tables do not know is left out."""
    tables = await tables_of(database)
    async with database.begin() as connection:
        for table in reversed(tables):
            await connection.execute(table.delete())
        for table in tables:
            columns = [column.name for column in table.columns]
            if rows := [{name: row[name] for name in columns if name in row} for row in dump.get(table.name, ())]:
                await connection.execute(table.insert(), rows)
            for counter in (column.name for column in table.columns if column.identity is not None):
                following = max((row[counter] for row in rows), default=0) + 1
                statement = f"ALTER TABLE {table.name} ALTER COLUMN {counter} RESTART WITH {following}"
                await connection.execute(text(statement))
