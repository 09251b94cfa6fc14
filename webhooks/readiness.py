"""Whether this process can do all of its work, and what is wrong when it cannot.

The revision is compared here and not by `schema`, which loads all of Alembic: that would cost the web process
twenty megabytes for good.
"""

import asyncio
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

import migrations
from orchestrator.queue import Queue
from webhooks.answers import DATABASE_FAULTS

OK = "ok"
CHECK_SECONDS = 3.0

_REVISION = text("SELECT version_num FROM alembic_version")


async def postgres(engine: AsyncEngine) -> str:
    """`ok`, or what is wrong with previewd's own database."""
    try:
        async with asyncio.timeout(CHECK_SECONDS), engine.connect() as connection:
            found = await connection.scalar(_REVISION)
    except ProgrammingError:
        return "has none of previewd's tables: run `previewd migrate`"
    except DATABASE_FAULTS:
        return "does not answer: check that it runs, and PREVIEWD_DATABASE_URL"
    newest = newest_revision()
    return OK if found == newest else f"is at revision {found}, and this version needs {newest}: run `previewd migrate`"


async def redis(queue: Queue) -> str:
    """`ok`, or what is wrong with Redis."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            reachable = await queue.reachable()
    except TimeoutError:
        reachable = False
    return OK if reachable else "does not answer: check that it runs, and PREVIEWD_REDIS_URL"


def newest_revision() -> str:
    """The newest of the migrations' files, whose names begin with their revisions."""
    files = Path(migrations.__file__).parent.joinpath("versions").glob("[0-9]*_*.py")
    return max(file.name.partition("_")[0] for file in files)
