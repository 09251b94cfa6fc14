"""What the watchdog looks at and does: sessions that last too long, and databases that grow too large."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from orchestrator.adapters.postgres import copies
from orchestrator.adapters.postgres.connection import quoted, waiting_shortly
from orchestrator.databases.limits import DatabaseLimits, DatabaseSize, Fill
from orchestrator.databases.sessions import EndedSession, Session, overdue
from orchestrator.preview import names
from orchestrator.preview.names import DatabaseKind

if TYPE_CHECKING:
    from orchestrator.adapters.postgres.connection import Connection

_WATCHED = (DatabaseKind.PREVIEW, DatabaseKind.TEMPLATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A database's size, and what holds for it now."""

    size: DatabaseSize
    admitted: bool
    read_only: bool


async def end_overdue(connection: "Connection", instance: str, limits: DatabaseLimits) -> tuple[EndedSession, ...]:
    """End the sessions that `overdue` names, and say which those were."""
    ended = []
    for session in await _sessions(connection, instance):
        reason = overdue(session, limits)
        if reason and await connection.fetchval(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2",
            session.pid,
            session.began,
        ):
            ended.append(EndedSession(role=session.role, database=session.database, reason=reason))
    return tuple(ended)


async def measure(connection: "Connection", instance: str, limit: int) -> tuple[Measured, ...]:
    """The databases in use, with their sizes in bytes. Those that are half-made have no mark and are nobody's yet."""
    rows = await connection.fetch(
        "SELECT datname, pg_database_size(d.oid) AS bytes, "
        "has_database_privilege(r.oid, d.oid, 'CONNECT') AS admitted, "
        "coalesce('default_transaction_read_only=on' = ANY (setconfig), false) AS read_only "
        "FROM pg_database d JOIN pg_roles r ON rolname = datname "
        "LEFT JOIN pg_db_role_setting ON setrole = r.oid AND setdatabase = 0 "
        "WHERE datallowconn AND datconnlimit = -1 AND shobj_description(d.oid, 'pg_database') IS NOT NULL "
        "ORDER BY datname"
    )
    return tuple(
        Measured(
            size=DatabaseSize(name=row["datname"], bytes=row["bytes"], limit=limit),
            admitted=row["admitted"],
            read_only=row["read_only"],
        )
        for row in rows
        if names.kind_of_database(instance, row["datname"]) in _WATCHED and row["bytes"] is not None
    )


async def enforce(connection: "Connection", measured: Iterable[Measured]) -> None:
    """Make what holds for each database fit its size. A tenant can undo read-only, but not that it is shut.

    Nothing here waits for a tenant, or one could keep us from all the others.
    """
    for one in measured:
        name, fill = one.size.name, one.size.fill
        admit, read_only = fill is not Fill.SHUT, fill in (Fill.READ_ONLY, Fill.SHUT)
        if admit and (admit, read_only) == (one.admitted, one.read_only):
            continue
        if admit:
            await copies.admit(connection, name, name)
        elif one.admitted:
            await connection.execute(f"REVOKE CONNECT ON DATABASE {quoted(name)} FROM {quoted(name)}")
        if read_only is not one.read_only:
            await _set_read_only(connection, name, read_only)
        # Sessions keep what held when they began, and pools keep sessions.
        await copies.terminate(connection, name)


async def _set_read_only(connection: "Connection", name: str, read_only: bool) -> None:
    """For the sessions to come. Who is changing its own settings just now loses its sessions, and is met again."""
    change = "SET default_transaction_read_only = on" if read_only else "RESET default_transaction_read_only"
    with suppress(asyncpg.LockNotAvailableError, asyncpg.InternalServerError):
        async with waiting_shortly(connection):
            await connection.execute(f"ALTER ROLE {quoted(name)} {change}")


async def _sessions(connection: "Connection", instance: str) -> list[Session]:
    rows = await connection.fetch(
        "SELECT pid, usename, datname, backend_start, state, "
        "coalesce(extract(epoch FROM clock_timestamp() - state_change), 0)::float8 AS state_seconds, "
        "coalesce(extract(epoch FROM clock_timestamp() - least(xact_start, query_start)), 0)::float8 AS open_seconds "
        "FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename IS NOT NULL AND state <> 'idle'"
    )
    return [
        Session(
            pid=row["pid"],
            role=row["usename"],
            database=row["datname"],
            began=row["backend_start"],
            state=row["state"],
            state_seconds=row["state_seconds"],
            open_seconds=row["open_seconds"],
        )
        for row in rows
        if names.kind_of_database(instance, row["usename"]) in _WATCHED
    ]
