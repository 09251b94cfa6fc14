"""Connections to previewd's own Postgres: nothing waits for ever, and single statements go without a transaction."""

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from orchestrator.runtime.fence import LEASE_SECONDS

CONNECT_SECONDS = 5.0
COMMAND_SECONDS = 30.0
"""How long Postgres may take for one statement: the longest that we send is one of a migration."""
POOL_SECONDS = 10.0
"""How long one waits for a connection that another uses."""

_SESSION = {"idle_in_transaction_session_timeout": f"{LEASE_SECONDS * 1000:.0f}"}
"""A worker that is frozen in a transaction holds the preview's row: Postgres ends its session with its lease."""


Database = AsyncEngine
"""Our own database, for those who open it and hand it on: no SQL is spoken outside of this folder."""


def connect(url: str, pool_size: int = 5, *, ping: bool = True) -> Database:
    """Open previewd's own database. `url` is in asyncpg's form.

    With `ping` a connection is tried before it is used, at the price of one more way to Postgres and back. Nothing
    waits for ever: not for a connection, not for one of the pool's, and not for the answer to a statement.
    """
    return create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=5,
        pool_pre_ping=ping,
        pool_recycle=300,
        pool_timeout=POOL_SECONDS,
        connect_args={
            "timeout": CONNECT_SECONDS,
            "command_timeout": COMMAND_SECONDS,
            "server_settings": _SESSION,
        },
    )


def autocommit(engine: AsyncEngine) -> AsyncEngine:
    """The same connections, on which each statement is a transaction by itself: for whoever sends only one.

    BEGIN and COMMIT would be two more ways to Postgres and back, of which a deployment has hundreds.
    """
    return engine.execution_options(isolation_level="AUTOCOMMIT")
