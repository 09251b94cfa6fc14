"""Whether previewd's own database is as new as this code. Loads no Alembic, which would cost 20 MB for good.

One that is newer will do: a migration only ever adds, and what it adds can be left out. So while an installation is
upgraded, and after it was taken back, processes of the older version work on the newer database.
"""

from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

import migrations
from orchestrator.preview.errors import ConfigurationError

_FOUND = text("SELECT version_num FROM alembic_version")


async def require_current(engine: AsyncEngine) -> None:
    """Raise ConfigurationError for a database that lacks what this code needs."""
    try:
        async with engine.connect() as connection:
            found = await connection.scalar(_FOUND)
    except ProgrammingError:
        raise ConfigurationError("the database has none of previewd's tables", "run `previewd migrate`") from None
    if not is_current(found):
        raise ConfigurationError(
            f"the database is at revision {found}, and this version needs {newest_revision()}",
            "run `previewd migrate`",
        )


def is_current(revision: str | None) -> bool:
    """Whether a database at this revision has everything that this code needs; None is a database without tables."""
    return revision is not None and revision >= newest_revision()


def newest_revision() -> str:
    """The newest of the migrations' files, whose names begin with their revisions."""
    files = Path(migrations.__file__).parent.joinpath("versions").glob("[0-9]*_*.py")
    return max(file.name.partition("_")[0] for file in files)
