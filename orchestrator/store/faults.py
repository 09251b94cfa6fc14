"""Which faults are not ours: errors of the machine that reach the worker in nobody's words."""

import errno

import asyncpg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from orchestrator.preview.errors import DiskFull, Unavailable

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
_DISK_FULL = "53100"
_AWAY = ("08", "53", "57")
"""Classes of SQLSTATE: the connection, its resources (connections, memory), somebody's intervention (a shutdown)."""

OWN_POSTGRES = "previewd's own Postgres"

DATABASE_FAULTS: tuple[type[Exception], ...] = (
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    OSError,
    TimeoutError,
)
"""What comes out of the store when Postgres does not answer, or has not our tables."""


def of_the_machine(error: Exception) -> Unavailable | None:
    """What is away or full, to be waited for; None when the fault is one of previewd's own."""
    if isinstance(error, SQLAlchemyError | asyncpg.PostgresError | asyncpg.InterfaceError):
        return _of_postgres(error)
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        words = error.strerror or type(error).__name__
        return DiskFull("previewd's data", words, "Make room at PREVIEWD_DATA_DIR. Then it goes on by itself.")
    if isinstance(error, ConnectionError | TimeoutError):
        return Unavailable(f"a connection was lost: {type(error).__name__}", retry_after=5.0)
    return None


def _of_postgres(error: Exception) -> Unavailable | None:
    found = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    state = str(getattr(found, "sqlstate", None) or getattr(found, "pgcode", None) or "")
    words = str(found).partition("\n")[0]
    if state == _DISK_FULL:
        return DiskFull(OWN_POSTGRES, words, "Make room there. Then it goes on by itself.")
    lost = isinstance(error, PoolTimeout | asyncpg.InterfaceError)
    if state[:2] in _AWAY or lost or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return Unavailable(f"{OWN_POSTGRES} did not answer: {words}", retry_after=5.0)
    return None
