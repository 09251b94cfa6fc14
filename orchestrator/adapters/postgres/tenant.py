"""What is asked and done in a preview's database as its own role, logged in with its own password.

A superuser who touches a stranger's table may run the stranger's functions. Its owner runs nothing that it could not
run by itself, so hostile tables, views and triggers gain nothing here.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

from orchestrator.adapters.postgres.connection import connect, plain
from orchestrator.preview.errors import ScriptError, Unavailable

if TYPE_CHECKING:
    from orchestrator.adapters.postgres.connection import Connection

REVISION_LENGTH = 64
MAX_REVISIONS = 100
_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 5.0
_SCRIPT_SECONDS = 600.0

_REVISIONS = f"SELECT left(version_num::text, {REVISION_LENGTH}) FROM alembic_version LIMIT {MAX_REVISIONS}"  # noqa: S608 - numbers


async def revisions(host: str, port: int, name: str, password: str) -> frozenset[str] | None:
    """See `Databases.revisions`."""
    try:
        async with _session(host, port, name, password) as connection:
            rows = await connection.fetch(_REVISIONS, timeout=_ANSWER_SECONDS)
    except asyncpg.UndefinedTableError:
        return frozenset()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        return None
    return frozenset(str(row[0]) for row in rows if row[0])


async def run_script(host: str, port: int, name: str, password: str, script: str) -> None:
    """See `Databases.run_script`."""
    try:
        async with _session(host, port, name, password) as connection, connection.transaction():
            await connection.execute(script, timeout=_SCRIPT_SECONDS)
    except TimeoutError:
        raise ScriptError(f"the script took more than {_SCRIPT_SECONDS:g} s", "make it faster") from None
    except (asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, OSError) as error:
        raise Unavailable(f"the previews' Postgres does not answer: {error}") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise ScriptError(f"the server refuses the script: {error}", "correct it") from error


@asynccontextmanager
async def _session(host: str, port: int, name: str, password: str) -> "AsyncIterator[Connection]":
    connection = await connect(
        host=host,
        port=port,
        user=plain(name),
        password=password,
        database=plain(name),
        timeout=_CONNECT_SECONDS,
        # Whatever the role has set for itself: the server's own functions come first where `pg_catalog` is not named.
        server_settings={"application_name": "previewd", "search_path": '"$user", public'},
    )
    try:
        yield connection
    finally:
        await connection.close(timeout=_CONNECT_SECONDS)
