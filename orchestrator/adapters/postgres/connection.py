"""The administrator's way to the previews' Postgres, and what its errors mean. Every statement of ours passes here.

We are a superuser in databases that strangers fill. Nothing of theirs may run as us: only `pg_catalog` is searched, so
that no function, operator or type of theirs is ever taken for the server's own, and we read no table of theirs.
"""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import asyncpg

from orchestrator.preview.errors import ConfigurationError, DiskFull, OperatorError, Unavailable
from orchestrator.runtime import fence

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

OLDEST_MAJOR = 15
COPY_SECONDS = 900.0
"""How long the server may take to copy or to drop a database."""

TENANT_SECONDS = 1

_CONNECT_SECONDS = 10.0
_COMMAND_SECONDS = 60.0
_PING_SECONDS = 2.0
_SETTINGS = {
    "application_name": "previewd",
    "search_path": "pg_catalog",
    # A statement that sets a password must not stand in the server's log, not even when it fails.
    "log_min_error_statement": "panic",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    # A server-wide timeout is meant for applications, not for copying a database.
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "60s",
}
_LATER = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,  # connections, memory, locks
    asyncpg.DeadlockDetectedError,
    asyncpg.InternalClientError,  # how a session ends for asyncpg that the server broke off between two statements
    asyncpg.InternalServerError,  # two of us changed the rights on one thing at once: "tuple concurrently updated"
)


class Server:
    """One server, by the URL of its administrator."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if not parts.hostname or not parts.username:
            raise ConfigurationError(
                "PREVIEWD_PREVIEWS_DATABASE_URL names no host or no user",
                "write it as postgresql://ADMIN:PASSWORD@HOST:PORT/postgres",
            )
        self.host = parts.hostname
        self.port = parts.port or 5432
        self._url = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url)

    async def ping(self) -> None:
        """Return when it lets us in and answers."""
        with _in_our_words():
            connection = await asyncpg.connect(self._url, database="postgres", timeout=_PING_SECONDS)
            try:
                await connection.execute("SELECT 1", timeout=_PING_SECONDS)
            finally:
                await connection.close(timeout=1)

    @asynccontextmanager
    async def session(self, database: str = "postgres") -> "AsyncIterator[Connection]":
        """A session as administrator, with errors in our own words."""
        with _in_our_words():
            connection = await connect(
                self._url,
                database=database,
                timeout=_CONNECT_SECONDS,
                command_timeout=_COMMAND_SECONDS,
                server_settings=_SETTINGS,
            )
            try:
                _require_major(connection)
                yield connection
            finally:
                await connection.close(timeout=_CONNECT_SECONDS)


async def connect(*where: Any, **how: Any) -> "Connection":
    """`asyncpg.connect`, under the fence: it, and each statement of the session. Raises LeaseLost."""
    fence.require()
    return await asyncpg.connect(*where, **how, connection_class=_FencedConnection)


@asynccontextmanager
async def waiting_shortly(connection: "Connection") -> AsyncIterator[None]:
    """A transaction that does not wait for a tenant: asyncpg.LockNotAvailableError after TENANT_SECONDS.

    A role may change its own password and settings, and hold the lock on them for as long as its transaction lasts.
    """
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{TENANT_SECONDS}s'")
        yield


def plain(text: str) -> str:
    """Names are made by us, of plain characters: what is not cannot be quoted away, it is refused."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise OperatorError("a database name or password holds a character that previewd never makes")
    return text


def quoted(name: str) -> str:
    """As it stands in a statement."""
    return f'"{plain(name)}"'


class _FencedConnection(asyncpg.Connection):
    """Asks the fence before each statement, BEGIN and COMMIT included. These four are all that we use."""

    async def execute(self, *query: Any, **how: Any) -> str:
        fence.require()
        return await super().execute(*query, **how)

    async def fetch(self, *query: Any, **how: Any) -> Any:
        fence.require()
        return await super().fetch(*query, **how)

    async def fetchrow(self, *query: Any, **how: Any) -> Any:
        fence.require()
        return await super().fetchrow(*query, **how)

    async def fetchval(self, *query: Any, **how: Any) -> Any:
        fence.require()
        return await super().fetchval(*query, **how)


def _require_major(connection: "Connection") -> None:
    major = connection.get_server_version().major
    if major < OLDEST_MAJOR:
        raise ConfigurationError(
            f"the previews' Postgres is version {major}, and previewd needs {OLDEST_MAJOR} or newer",
            "set PREVIEWD_PREVIEWS_DATABASE_URL to a newer server",
        )


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        raise ConfigurationError(
            f"the previews' Postgres refuses us: {error}", "correct PREVIEWD_PREVIEWS_DATABASE_URL"
        ) from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise ConfigurationError(
            f"the previews' Postgres does not let us: {error}", "name a superuser in PREVIEWD_PREVIEWS_DATABASE_URL"
        ) from error
    except asyncpg.DiskFullError as error:
        raise DiskFull("the previews' Postgres", str(error), "Make room there, or close pull requests.") from error
    except asyncpg.TooManyConnectionsError as error:
        raise Unavailable(f"the previews' Postgres has no connection left for us: {error}") from error
    except asyncpg.InvalidCatalogNameError as error:
        raise OperatorError(f"the previews' Postgres lacks what should be there: {error}") from error
    except _LATER as error:
        words = str(error) or type(error).__name__
        raise Unavailable(f"the previews' Postgres does not answer: {words}") from error
    except asyncpg.InterfaceError as error:
        if "connection is closed" not in str(error):
            raise  # a mistake of ours
        raise Unavailable("the previews' Postgres ended our session") from error
