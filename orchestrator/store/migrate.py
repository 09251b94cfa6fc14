"""Brings previewd's own database up to date. Loads Alembic: `revision` only looks."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

import migrations
from orchestrator.store.revision import is_current

_LOCK = 0x70726576
"""Key of the advisory lock: two processes that start together migrate one after the other."""


async def migrate(engine: AsyncEngine) -> None:
    """Bring the database up to the newest revision. One that a newer version has migrated stays as it is."""
    async with engine.begin() as connection:
        await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    if not is_current(MigrationContext.configure(connection).get_current_revision()):
        command.upgrade(_config(connection), "head")


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    return config
