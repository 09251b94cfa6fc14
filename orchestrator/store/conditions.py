"""Conditions on rows of our own database, for every module that reads or writes them."""

from sqlalchemy import ColumnElement, FromClause, and_, func, or_

from orchestrator.preview.state import PreviewId
from orchestrator.store.tables import previews


def of(table: FromClause, preview: PreviewId) -> ColumnElement[bool]:
    """What a table holds of one preview."""
    return and_(table.c.repository == preview.repository, table.c.number == preview.number)


def this(preview: PreviewId) -> ColumnElement[bool]:
    """The preview's own row."""
    return of(previews, preview)


def is_free() -> ColumnElement[bool]:
    """No worker holds its lease, on the database's clock."""
    return or_(previews.c.lease_expires_at.is_(None), previews.c.lease_expires_at < func.now())
