"""Webhook deliveries: recorded together with the generation that they raise, in one statement."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Executable, Integer, Row, Text, bindparam, case, select, true
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.preview.errors import OperatorError
from orchestrator.preview.state import PreviewId
from orchestrator.store.conditions import news
from orchestrator.store.connection import autocommit
from orchestrator.store.generations import raised
from orchestrator.store.tables import deliveries, previews


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One webhook delivery, as it is recorded."""

    id: str
    event: str
    action: str | None
    outcome: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """Somebody said that this pull request should be looked at. `hosts` are tried in order; they must be free."""

    preview: PreviewId
    repository_name: str
    title: str
    author: str
    branch: str
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A delivery that was new. `generation` is what its hint raised its preview to; None when it had no hint."""

    generation: int | None


class Deliveries:
    def __init__(self, engine: AsyncEngine) -> None:
        self._autocommit = autocommit(engine)

    async def record(self, delivery: Delivery, hint: Hint | None) -> Recorded | None:
        """Record a delivery and raise the generation of the preview that it names, both or neither.

        None when this delivery was recorded before: it then changes nothing.
        """
        values = _delivery_values(delivery) | _hint_values(hint)
        for host in hint.hosts if hint else ("",):
            try:
                return await self._record(values | {"host": host})
            except IntegrityError:
                continue  # another repository of this name has the host
        raise OperatorError(
            f"every host for preview {values['preview']} is taken", "make PREVIEWD_HOST_TEMPLATE more specific"
        )

    async def _record(self, values: Mapping[str, object]) -> Recorded | None:
        try:
            row = await self._execute(_RECORD, values)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            # The pool's connections are older than the server that runs now. The id makes a repetition harmless.
            row = await self._execute(_RECORD, values)
        return Recorded(generation=row.generation) if row.times == 1 else None

    async def _execute(self, statement: Executable, values: Mapping[str, object]) -> Row[Any]:
        async with self._autocommit.connect() as connection:
            return (await connection.execute(statement, values)).one()


def _record() -> Executable:
    """One statement, and so one transaction and one way to Postgres and back: deliveries may come by the hundred."""
    # Types are told: Postgres cannot guess them where a parameter stands alone in a SELECT.
    texts = {name: bindparam(name, type_=Text) for name in _TEXTS}
    numbers = {"repository": bindparam("repository", type_=BigInteger), "number": bindparam("number", type_=Integer)}
    recorded = postgresql.insert(deliveries).values(
        id=bindparam("id"),
        event=bindparam("event"),
        action=texts["action"],
        outcome=bindparam("outcome"),
        reason=bindparam("why"),
        **numbers,
    )
    delivery = (
        recorded.on_conflict_do_update(index_elements=["id"], set_={"times": deliveries.c.times + 1})
        .returning(deliveries.c.times)
        .cte("delivery")
    )
    shown = ("repository_name", "title", "author", "branch")
    columns = ("repository", "number", "host", *shown)
    new = select(*numbers.values(), *(texts[name] for name in columns[2:])).where(
        delivery.c.times == 1, numbers["repository"].is_not(None)
    )
    hinted = postgresql.insert(previews).from_select(columns, new)
    preview = (
        hinted.on_conflict_do_update(
            index_elements=["repository", "number"],
            set_={**raised(), **{previews.c[name]: hinted.excluded[name] for name in shown}},
        )
        .returning(previews.c.generation)
        .cte("preview")
    )
    told = case((preview.c.generation == 1, news(texts["preview"])))
    return select(delivery.c.times, preview.c.generation, told).select_from(delivery.outerjoin(preview, true()))


_TEXTS = ("action", "host", "repository_name", "title", "author", "branch", "preview")
_RECORD = _record()


def _delivery_values(delivery: Delivery) -> dict[str, object]:
    return {
        "id": delivery.id,
        "event": delivery.event,
        "action": delivery.action,
        "outcome": delivery.outcome,
        "why": delivery.reason,
    }


def _hint_values(hint: Hint | None) -> dict[str, object]:
    return {
        "repository": hint.preview.repository if hint else None,
        "number": hint.preview.number if hint else None,
        "repository_name": hint.repository_name if hint else "",
        "title": hint.title if hint else "",
        "author": hint.author if hint else "",
        "branch": hint.branch if hint else "",
        "preview": str(hint.preview) if hint else "",
    }
