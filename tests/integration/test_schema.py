"""The migrations build exactly the tables that the code knows, and an old database is refused."""

import pytest
from alembic import command
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.preview.errors import ConfigurationError
from orchestrator.store import migrate, revision


async def test_the_migrations_and_the_tables_agree(database: AsyncEngine) -> None:
    def check(connection: Connection) -> None:
        command.check(migrate._config(connection))

    async with database.begin() as connection:
        await connection.run_sync(check)


async def test_an_older_database_is_refused(database: AsyncEngine) -> None:
    await revision.require_current(database)
    async with database.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(ConfigurationError, match="revision 0000") as caught:
        await revision.require_current(database)
    assert "previewd migrate" in caught.value.remedy
