"""The schema of previewd's own database: bringing it up to date, and refusing to start when it is not."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

import migrations
from orchestrator.errors import ConfigurationError

_LOCK = 0x70726576
"""Key of the advisory lock: two processes that start together migrate one after the other."""


async def migrate(engine: AsyncEngine) -> None:
    """Bring the database up to the newest revision."""
    async with engine.begin() as connection:
        await connection.run_sync(_upgrade)


async def require_current(engine: AsyncEngine) -> None:
    """Raise ConfigurationError unless the database is at the newest revision."""
    async with engine.connect() as connection:
        found = await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    if found != newest:
        raise ConfigurationError(
            f"the database is at revision {found}, and this version needs {newest}", "run `previewd migrate`"
        )


def _upgrade(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    return config
