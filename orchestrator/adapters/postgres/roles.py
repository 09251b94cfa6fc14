"""The roles of the previews' server: what a tenant is, and how many connections are promised."""

import base64
import hashlib
import hmac
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

import asyncpg

from orchestrator.adapters.postgres import copies
from orchestrator.adapters.postgres.connection import plain, quoted, waiting_shortly
from orchestrator.databases.connections import Budget
from orchestrator.databases.limits import DatabaseLimits
from orchestrator.preview.errors import NoConnectionsLeft, OperatorError, TemporaryError

if TYPE_CHECKING:
    from orchestrator.adapters.postgres.connection import Connection

_BUDGET_LOCK = 0x70726576
"""Of this server's `postgres` database: one role at a time is promised connections."""

_OWN_CONNECTIONS = 10
"""Kept for previewd: each of a worker's jobs has one or two open for moments, and so has the watchdog."""

_SCRAM_ITERATIONS = 4096

ROLE_EXISTS = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)"


async def ensure_owner(connection: "Connection", owner: str) -> None:
    """The role that owns the databases. A tenant that did could lift limits, drop and rename."""
    if not await connection.fetchval(ROLE_EXISTS, owner):
        with suppress(asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):  # another of us was as quick
            await connection.execute(f"CREATE ROLE {quoted(owner)} NOLOGIN")


async def ensure_tenant(connection: "Connection", role: str, password: str, limits: DatabaseLimits) -> None:
    """The role of a preview, with no attribute but LOGIN. Raises NoConnectionsLeft when it does not fit."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _BUDGET_LOCK)
        budget = await read_budget(connection)
        if not budget.allows(role, limits.connections):
            raise NoConnectionsLeft(
                budget.refusal(limits.connections),
                "remove a preview, lower PREVIEWD_CONNECTIONS_PER_PREVIEW, or raise the server's max_connections",
            )
        await _ensure_in_time(connection, role, password, limits)
    await _require_no_membership(connection, role)


async def lock_out(connection: "Connection", role: str) -> None:
    """Nobody logs in as this role any more, if it exists."""
    if await connection.fetchval(ROLE_EXISTS, role):
        await copies.terminate(connection, role)  # one of its sessions may hold the lock on the role
        await connection.execute(f"ALTER ROLE {quoted(role)} NOLOGIN")


async def drop(connection: "Connection", role: str) -> None:
    """Drop a role that has no database any more. TemporaryError while a copy of one is being made."""
    if not await connection.fetchval(ROLE_EXISTS, role):
        return
    try:
        # A mere right on something shared would hold the role back.
        await connection.execute(f"DROP OWNED BY {quoted(role)}")
        await connection.execute(f"DROP ROLE IF EXISTS {quoted(role)}")
    except asyncpg.DependentObjectsStillExistError as error:
        raise TemporaryError(f"role {role} still owns things: {error.detail}") from error


async def read_budget(connection: "Connection") -> Budget:
    """What the server itself says about its connections. `reserved_connections` came with Postgres 16."""
    total, reserved = await connection.fetchval(
        "SELECT ARRAY[current_setting('max_connections')::int, current_setting('superuser_reserved_connections')::int "
        "+ coalesce(current_setting('reserved_connections', true)::int, 0)]"
    )
    granted = await connection.fetch(
        "SELECT rolname, rolconnlimit FROM pg_roles WHERE rolcanlogin AND NOT rolsuper AND rolconnlimit > 0"
    )
    in_use = await connection.fetch(
        "SELECT usename, count(*) AS sessions FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY 1"
    )
    return Budget(
        max_connections=total,
        reserved=reserved + _OWN_CONNECTIONS,
        granted={row["rolname"]: row["rolconnlimit"] for row in granted},
        in_use={row["usename"]: row["sessions"] for row in in_use if row["usename"]},
    )


async def _ensure_in_time(connection: "Connection", role: str, password: str, limits: DatabaseLimits) -> None:
    """While we wait for a role, nobody else is promised connections: one that is changing itself is not waited for."""
    try:
        async with waiting_shortly(connection):
            await _ensure_role(connection, role, password, limits)
    except asyncpg.LockNotAvailableError as error:
        await copies.terminate(connection, role)
        raise TemporaryError(f"role {role} is being changed by a session of its own, which is ended") from error


async def _ensure_role(connection: "Connection", role: str, password: str, limits: DatabaseLimits) -> None:
    # The limit stands on the role: a database's own limit could be lifted by whoever owns the database.
    attributes = (
        "LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS VALID UNTIL 'infinity' "
        f"CONNECTION LIMIT {limits.connections} PASSWORD '{_scram(plain(password))}'"
    )
    exists = await connection.fetchval(ROLE_EXISTS, role)
    try:
        await connection.execute(f"{'ALTER' if exists else 'CREATE'} ROLE {quoted(role)} {attributes}")
    except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError) as error:
        raise TemporaryError(f"role {role} is being made by somebody else") from error
    if not exists:
        # Only manners: the tenant may lift these, and the watchdog does not look at them.
        await _set(connection, role, "statement_timeout", f"{limits.transaction_seconds:.0f}s")
        await _set(
            connection, role, "idle_in_transaction_session_timeout", f"{limits.idle_in_transaction_seconds:.0f}s"
        )
    # A limit: only a superuser may change this one.
    await _set(connection, role, "temp_file_limit", f"{limits.temp_file_bytes // 1024}kB")


async def _set(connection: "Connection", role: str, setting: str, value: str) -> None:
    await connection.execute(f"ALTER ROLE {quoted(role)} SET {setting} = '{value}'")


async def _require_no_membership(connection: "Connection", role: str) -> None:
    """`pg_read_server_files` and its like lead out of every database."""
    group = await connection.fetchval(
        "SELECT g.rolname FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid "
        "JOIN pg_roles r ON r.oid = m.member WHERE r.rolname = $1",
        role,
    )
    if group:
        raise OperatorError(
            f"the preview's role {role} is a member of {group}, and would act with its rights",
            f'run REVOKE "{group}" FROM "{role}" on the previews\' Postgres',
        )


def _scram(password: str) -> str:
    """What the server keeps of a password (RFC 5803), so that the password itself is never in a statement of ours."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _SCRAM_ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    served = hmac.digest(salted, b"Server Key", "sha256")
    salt_text, stored_text, served_text = (base64.b64encode(part).decode() for part in (salt, stored, served))
    return f"SCRAM-SHA-256${_SCRAM_ITERATIONS}:{salt_text}${stored_text}:{served_text}"
