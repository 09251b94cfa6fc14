"""The previews' Postgres server: one database and one role per preview, each invisible to the others' passwords.

The rules, and what was seen to go wrong without each, stand at the statements. Needs a superuser, on Postgres 15 or
newer.
"""

import re
from urllib.parse import urlsplit

import asyncpg

from orchestrator.errors import ConfigurationError, OperatorError, TemporaryError, Unavailable
from orchestrator.names import preview_of_database
from orchestrator.ports import DatabaseAccess

_COMMAND_SECONDS = 60.0
_EXISTS = (asyncpg.DuplicateDatabaseError, asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError)
"""What Postgres answers when a thing is there already, or is being made by somebody else at this moment."""

_QUIET = {"log_min_error_statement": "panic", "log_statement": "none", "log_min_duration_statement": "-1"}
"""A statement that sets a password must not stand in the server's log, not even when it fails."""

_INTERRUPTED_DROP = -2
"""`datconnlimit` of a database whose drop was cut short: it can only be dropped again."""


class PostgresDatabases:
    """Administers the server at `url` for one instance. `host` is where previews' containers reach it."""

    def __init__(self, url: str, host: str, instance: str, connection_limit: int) -> None:
        parts = urlsplit(url)
        if not parts.hostname or not parts.username:
            raise ConfigurationError(
                "PREVIEWD_PREVIEWS_DATABASE_URL names no host or no user",
                "write it as postgresql://ADMIN:PASSWORD@HOST:PORT/postgres",
            )
        self._host = host
        self._port = parts.port or 5432
        self._instance = instance
        self._limit = connection_limit
        self._url = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url)

    def access(self, name: str, password: str) -> DatabaseAccess:
        """See `Databases.access`."""
        return DatabaseAccess(host=self._host, port=self._port, database=name, role=name, password=password)

    async def ensure(self, name: str, password: str) -> DatabaseAccess:
        """See `Databases.ensure`. The tenant owns its schema but not its database, whose limits it could lift."""
        connection = await self._connect("postgres")
        try:
            await self._close_shared_databases(connection)
            await self._ensure_role(connection, name, password)
            await self._ensure_database(connection, name)
        finally:
            await connection.close()
        await self._hand_over_schema(name)
        return self.access(name, password)

    async def remove(self, name: str) -> None:
        """See `Databases.remove`. The role is locked out first, or its clients connect again while it is dropped."""
        connection = await self._connect("postgres")
        try:
            if await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name):
                await connection.execute(f'ALTER ROLE "{_safe(name)}" NOLOGIN')
            await connection.execute(f'DROP DATABASE IF EXISTS "{_safe(name)}" WITH (FORCE)')
            await connection.execute(f'DROP ROLE IF EXISTS "{_safe(name)}"')
        finally:
            await connection.close()

    async def names(self) -> list[str]:
        connection = await self._connect("postgres")
        try:
            rows = await connection.fetch("SELECT datname AS name FROM pg_database UNION SELECT rolname FROM pg_roles")
        finally:
            await connection.close()
        return sorted(row["name"] for row in rows if preview_of_database(self._instance, row["name"]))

    async def _connect(self, database: str) -> "asyncpg.Connection[asyncpg.Record]":
        try:
            return await asyncpg.connect(
                self._url,
                database=database,
                timeout=10,
                command_timeout=_COMMAND_SECONDS,
                server_settings=_QUIET,
            )
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError) as error:
            raise Unavailable(f"the previews' Postgres does not answer: {error}") from error
        except asyncpg.InvalidAuthorizationSpecificationError as error:
            raise ConfigurationError(
                f"the previews' Postgres refuses us: {error}", "correct PREVIEWD_PREVIEWS_DATABASE_URL"
            ) from error

    async def _close_shared_databases(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        # Everybody may connect to these by default, and make temporary tables there until the disk is full.
        await connection.execute("REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC")

    async def _ensure_role(self, connection: "asyncpg.Connection[asyncpg.Record]", name: str, password: str) -> None:
        # The limit stands on the role: a database's own limit could be lifted by whoever owns the database.
        attributes = (
            f"LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS "
            f"CONNECTION LIMIT {self._limit} PASSWORD '{_safe(password)}'"
        )
        exists = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name)
        try:
            await connection.execute(f'{"ALTER" if exists else "CREATE"} ROLE "{_safe(name)}" {attributes}')
        except _EXISTS as error:
            raise TemporaryError(f"role {name} is being made by somebody else") from error
        # Only a superuser may change this one back, unlike the timeouts.
        await connection.execute(f"""ALTER ROLE "{_safe(name)}" SET temp_file_limit = '1GB'""")

    async def _ensure_database(self, connection: "asyncpg.Connection[asyncpg.Record]", name: str) -> None:
        quoted = f'"{_safe(name)}"'
        limit = await connection.fetchval("SELECT datconnlimit FROM pg_database WHERE datname = $1", name)
        if limit == _INTERRUPTED_DROP:
            await connection.execute(f"DROP DATABASE {quoted} WITH (FORCE)")
            limit = None
        if limit is None:
            try:
                # Closed until PUBLIC has lost its right: between the two statements anybody could connect.
                await connection.execute(f"CREATE DATABASE {quoted} ALLOW_CONNECTIONS false STRATEGY wal_log")
            except _EXISTS as error:
                raise TemporaryError(f"database {name} is being made by somebody else") from error
        await connection.execute(f"COMMENT ON DATABASE {quoted} IS 'previewd {self._instance}'")
        await connection.execute(f"REVOKE ALL ON DATABASE {quoted} FROM PUBLIC")
        await connection.execute(f"GRANT CONNECT, TEMPORARY, CREATE ON DATABASE {quoted} TO {quoted}")
        await connection.execute(f"ALTER DATABASE {quoted} ALLOW_CONNECTIONS true")

    async def _hand_over_schema(self, name: str) -> None:
        # Since Postgres 15 nobody but the database's owner may create in `public`.
        connection = await self._connect(name)
        try:
            await connection.execute(f'ALTER SCHEMA public OWNER TO "{_safe(name)}"')
        except asyncpg.InvalidSchemaNameError:
            pass  # the application dropped `public`, which is its own to drop
        finally:
            await connection.close()


def _safe(text: str) -> str:
    """Names and passwords are made by us, of plain characters: what is not cannot be quoted away, it is refused."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise OperatorError("a database name or password holds a character that previewd never makes")
    return text
