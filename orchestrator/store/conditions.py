"""Conditions on rows of our own database, and the news of a change: said once for all."""

from typing import Any

from sqlalchemy import ColumnElement, FromClause, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.preview.state import PreviewId
from orchestrator.store.tables import CHANNEL, previews


def key(preview: PreviewId) -> dict[str, int]:
    """The columns that name a preview, in every table that holds something of one."""
    return {"repository": preview.repository, "number": preview.number}


def of(table: FromClause, preview: PreviewId) -> ColumnElement[bool]:
    """What a table holds of one preview."""
    return and_(table.c.repository == preview.repository, table.c.number == preview.number)


def this(preview: PreviewId) -> ColumnElement[bool]:
    """The preview's own row."""
    return of(previews, preview)


def is_free() -> ColumnElement[bool]:
    """No worker holds its lease, on the database's clock."""
    return or_(previews.c.lease_expires_at.is_(None), previews.c.lease_expires_at < func.now())


def has_work() -> ColumnElement[bool]:
    """Something was asked for that nobody acted upon, and it is not put off."""
    return and_(
        previews.c.settled < previews.c.generation,
        or_(previews.c.retry_at.is_(None), previews.c.retry_at < func.now()),
    )


def is_due() -> ColumnElement[bool]:
    """It has work and no worker."""
    return and_(has_work(), is_free())


def is_idle() -> ColumnElement[bool]:
    """Everything was acted upon, and nobody acts."""
    return and_(previews.c.settled >= previews.c.generation, is_free())


def news(preview: Any) -> ColumnElement[Any]:
    """The call that tells open pages, the router and the worker of a change. `preview` is an id as text, or `all`."""
    return func.pg_notify(CHANNEL, preview)


async def notify(connection: AsyncConnection, preview: PreviewId | str) -> None:
    """Send the news when the transaction is committed."""
    await connection.execute(select(news(str(preview))))
