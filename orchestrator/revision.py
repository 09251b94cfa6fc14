"""Whether previewd's own database is as new as this code. Loads no Alembic, which would cost 20 MB for good."""

from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

import migrations
from orchestrator.errors import ConfigurationError

_FOUND = text("SELECT version_num FROM alembic_version")


async def require_current(engine: AsyncEngine) -> None:
    """Raise ConfigurationError unless the database is at the newest revision."""
    try:
        async with engine.connect() as connection:
            found = await connection.scalar(_FOUND)
    except ProgrammingError:
        raise ConfigurationError("the database has none of previewd's tables", "run `previewd migrate`") from None
    if found != newest_revision():
        raise ConfigurationError(
            f"the database is at revision {found}, and this version needs {newest_revision()}",
            "run `previewd migrate`",
        )


def newest_revision() -> str:
    """The newest of the migrations' files, whose names begin with their revisions."""
    files = Path(migrations.__file__).parent.joinpath("versions").glob("[0-9]*_*.py")
    return max(file.name.partition("_")[0] for file in files)
