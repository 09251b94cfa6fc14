"""Databases as wholes: made, copied, closed, swapped, dropped. Each state can be told from outside, by name and mark.

A database is *whole* when it carries our comment, which is written last; one without is what a killed worker left,
or what the server finished after the worker was gone, and is dropped.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg

from orchestrator.adapters.postgres.connection import COPY_SECONDS, quoted
from orchestrator.databases.templates import can_clone, strategy
from orchestrator.preview.errors import TemporaryError
from orchestrator.runtime.concurrency import run_watched

if TYPE_CHECKING:
    from orchestrator.adapters.postgres.connection import Connection

EMPTY = "template1"
"""What an empty database is a copy of: what the operator puts there, every preview has."""

_INTERRUPTED_DROP = -2
"""`datconnlimit` of a database whose drop was cut short: it can only be dropped again."""

_EMPTIED_SECONDS = 30.0
_POLL_SECONDS = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A database of the server."""

    name: str
    whole: bool
    bytes: int
    facts: Mapping[str, Any]
    """What its comment says, read by us alone: tenants see it too, so it holds hashes and numbers."""


async def find(connection: "Connection", name: str) -> Found | None:
    """The database of this name, if there is one."""
    row = await connection.fetchrow(
        "SELECT datconnlimit, shobj_description(oid, 'pg_database') AS comment, "
        "CASE WHEN datconnlimit <> $2 THEN pg_database_size(oid) END AS bytes FROM pg_database WHERE datname = $1",
        name,
        _INTERRUPTED_DROP,
    )
    if row is None:
        return None
    whole = row["comment"] is not None and row["datconnlimit"] != _INTERRUPTED_DROP
    return Found(name=name, whole=whole, bytes=row["bytes"] or 0, facts=read_mark(row["comment"]))


async def copy(connection: "Connection", source: str, target: str, owner: str) -> None:
    """Make `target` a copy of `source`, closed to everybody. The source must have no sessions of its own."""
    await drop(connection, target)
    found = await find(connection, source)
    if found is None:
        raise TemporaryError(f"database {source} is gone")
    method = strategy(found.bytes)

    async def create() -> None:
        await connection.execute(
            f"CREATE DATABASE {quoted(target)} TEMPLATE {quoted(source)} OWNER {quoted(owner)} "
            f"ALLOW_CONNECTIONS false STRATEGY {method}",
            timeout=COPY_SECONDS,
        )

    try:
        await _with_shared_blocks(connection, create, wanted=method == "file_copy")
    except asyncpg.ObjectInUseError as error:
        raise TemporaryError(f"database {source} is in use, and cannot be copied") from error
    except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError) as error:
        raise TemporaryError(f"database {target} is being made by somebody else") from error
    # Rights on a database are not copied: without this everybody may connect.
    await connection.execute(f"REVOKE ALL ON DATABASE {quoted(target)} FROM PUBLIC")


async def copy_in_use(connection: "Connection", other: "Connection", source: str, target: str, owner: str) -> None:
    """The same of a database that is in use. Its sessions end; who connects meanwhile waits until the copy is made.

    For the server itself locks what it copies. Only where clients are too quick for that are they refused.
    """
    try:
        await run_watched(copy(connection, source, target, owner), _keep_empty(other, source))
    except TemporaryError:
        async with closed(connection, source):
            await copy(connection, source, target, owner)


async def take(connection: "Connection", spare: str, target: str) -> bool:
    """Make a spare copy the `target`, closed and without a mark as `copy` leaves it. False when there is none."""
    found = await find(connection, spare)
    if not (found and found.whole):
        return False
    await drop(connection, target)
    try:
        async with connection.transaction():
            await connection.execute(f"COMMENT ON DATABASE {quoted(spare)} IS NULL")
            await connection.execute(f"ALTER DATABASE {quoted(spare)} RENAME TO {quoted(target)}")
    except (asyncpg.InvalidCatalogNameError, asyncpg.InternalServerError):
        return False  # another preview was as quick
    return True


async def mark(connection: "Connection", name: str, facts: Mapping[str, Any]) -> None:
    """Say that a database is whole, and what it is."""
    text = json.dumps(facts, sort_keys=True).replace("'", "''")
    await connection.execute(f"COMMENT ON DATABASE {quoted(name)} IS '{text}'")


def read_mark(comment: str | None) -> Mapping[str, Any]:
    """What `mark` was given; empty for anything else."""
    with suppress(ValueError):
        facts = json.loads(comment or "{}")
        if isinstance(facts, dict):
            return facts
    return {}


async def admit(connection: "Connection", name: str, role: str) -> None:
    """Let this role in, to do in the database what it likes."""
    await connection.execute(f"GRANT CONNECT, TEMPORARY, CREATE ON DATABASE {quoted(name)} TO {quoted(role)}")
    await open_to_ours(connection, name)


async def open_to_ours(connection: "Connection", name: str) -> None:
    """Let in who has the right to connect."""
    await connection.execute(f"ALTER DATABASE {quoted(name)} ALLOW_CONNECTIONS true")


async def close(connection: "Connection", name: str) -> None:
    """Let nobody in any more, not even us, and end the sessions that are there."""
    await connection.execute(f"ALTER DATABASE {quoted(name)} ALLOW_CONNECTIONS false")
    await end_sessions(connection, name)


async def end_sessions(connection: "Connection", name: str) -> None:
    """End every session of a database, and wait until they are gone. TemporaryError when one will not go."""
    deadline = time.monotonic() + _EMPTIED_SECONDS
    while await terminate(connection, name):
        if time.monotonic() > deadline:
            raise TemporaryError(f"database {name} has a session that does not end")
        await asyncio.sleep(_POLL_SECONDS)


async def terminate(connection: "Connection", name: str) -> int:
    """Tell every session of a database to end, and return how many there were. Clients may come back at once."""
    statement = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()"
    )
    return int(await connection.fetchval(statement, name))


async def _keep_empty(connection: "Connection", name: str) -> None:
    """End sessions until cancelled."""
    while True:
        await terminate(connection, name)
        await asyncio.sleep(_POLL_SECONDS)


@asynccontextmanager
async def closed(connection: "Connection", name: str) -> AsyncIterator[None]:
    """Nobody is in the database meanwhile. Who is killed here leaves it closed: `admit` opens it again."""
    try:
        await close(connection, name)
        yield
    finally:
        await open_to_ours(connection, name)


async def swap_in(connection: "Connection", replacement: str, name: str, role: str, discarded: str) -> None:
    """Put `replacement` in the place of `name`, in one transaction: there is no moment without a database."""
    await drop(connection, discarded)
    there = await find(connection, name)
    if there:
        await close(connection, name)
    async with connection.transaction():
        if there:
            await connection.execute(f"ALTER DATABASE {quoted(name)} RENAME TO {quoted(discarded)}")
        await connection.execute(f"ALTER DATABASE {quoted(replacement)} RENAME TO {quoted(name)}")
        await admit(connection, name, role)
    await drop(connection, discarded)


async def hand_over(inside: "Connection", old: str, new: str) -> None:
    """Give all that `old` owns in this database to `new`: only the catalog is written, 0.1 s for 500 tables.

    DROP OWNED takes what no owner can be given: default privileges, row policies for `old`, rights on shared things.
    Its own database is one of those, so that right is given back before anybody sees it gone.
    """
    async with inside.transaction():
        had_access = await inside.fetchval(
            "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1 AND has_database_privilege($1, oid, 'CONNECT'))",
            old,
        )
        await inside.execute(f"REASSIGN OWNED BY {quoted(old)} TO {quoted(new)}")
        await inside.execute(f"DROP OWNED BY {quoted(old)}")
        if had_access:
            await inside.execute(f"GRANT CONNECT, TEMPORARY, CREATE ON DATABASE {quoted(old)} TO {quoted(old)}")


async def drop(connection: "Connection", name: str) -> None:
    """Drop a database whatever its state, with the sessions that it has."""
    await connection.execute(f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)", timeout=COPY_SECONDS)


async def _with_shared_blocks(connection: "Connection", create: Callable[[], Awaitable[None]], *, wanted: bool) -> None:
    """Have the copied files share their blocks with the source's, if server and filesystem can."""
    if not (wanted and can_clone(connection.get_server_version().major)):
        await create()
        return
    try:
        await connection.execute("SET file_copy_method = 'clone'")
        await create()
    except (asyncpg.InternalServerError, asyncpg.InvalidParameterValueError, asyncpg.FeatureNotSupportedError):
        await connection.execute("SET file_copy_method = 'copy'")
        await create()
