"""Connections to previewd's own Postgres."""

from sqlalchemy.ext.asyncio import AsyncEngine


def autocommit(engine: AsyncEngine) -> AsyncEngine:
    """The same connections, on which each statement is a transaction by itself: for whoever sends only one.

    BEGIN and COMMIT would be two more ways to Postgres and back, of which a deployment has hundreds.
    """
    return engine.execution_options(isolation_level="AUTOCOMMIT")
