"""The generation of a preview: raised whenever somebody wants it looked at. Only `raised` says what that means.

`raise_generation` is the UPDATE; a delivery and a wanted template put the same into an upsert. What a worker has acted
upon is `settled`, the generation that was observed. Raised once or twice is the same.
"""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Update, any_, select, true, update
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.preview.state import PreviewId, State
from orchestrator.store.conditions import is_due, is_idle, notify, this
from orchestrator.store.connection import autocommit
from orchestrator.store.tables import previews


def raised(*, forced: bool = False, reset: bool = False) -> dict[Any, Any]:
    """What a row becomes: one generation on, due at once, and with all its tries before it.

    Whoever asks, a push or a person, wants it tried as if it had never failed.
    """
    following = previews.c.generation + 1
    values: dict[Any, Any] = {previews.c.generation: following, previews.c.attempts: 0, previews.c.retry_at: None}
    if forced or reset:
        values[previews.c.forced] = following
    if reset:
        values[previews.c.reset_requested] = following
    return values


def raise_generation(*where: ColumnElement[bool], forced: bool = False, reset: bool = False) -> Update:
    """Have these previews looked at; with `forced` deployed though nothing changed, with `reset` on a new database."""
    return update(previews).where(*where).values(raised(forced=forced, reset=reset))


def template_again(repository: int) -> Update:
    """Have a repository's template looked at, if it has one: something happened to what it is made of, or for."""
    return raise_generation(
        previews.c.repository == repository, previews.c.number == 0, previews.c.state != State.REMOVED
    )


class Generations:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine, self._autocommit = engine, autocommit(engine)

    async def force(self, preview: PreviewId) -> int | None:
        """Ask for a deployment even when nothing changed; its generation, or None when there is no such preview."""
        return await self._raise(preview, forced=True)

    async def reset(self, preview: PreviewId) -> int | None:
        """Ask for a deployment with a new database; its generation, or None when there is no such preview."""
        return await self._raise(preview, reset=True)

    async def look(self, preview: PreviewId) -> int | None:
        """Have it looked at; its generation. None when that is done anyway, or there is no row of it."""
        return await self._raise(preview, is_idle())

    async def look_once_more(self, preview: PreviewId) -> int | None:
        """Have it looked at again by the worker that holds it, as soon as that is done; its generation."""
        return await self._raise(preview)

    async def clear(self, preview: PreviewId) -> int | None:
        """Have a removed preview torn down once more: something of it was found. Its generation, or None as above."""
        return await self._raise(preview, is_idle(), forced=True)

    async def ended(self, preview: PreviewId, container: str) -> int | None:
        """Have it looked at if this container is one that serves; its generation, or None as above.

        Nothing happens while a worker holds the preview: that one looks again at its own end.
        """
        return await self._raise(preview, is_idle(), any_(previews.c.serving_containers) == container)

    async def look_at_all(self, repositories: Collection[int] | None) -> list[tuple[PreviewId, int]]:
        """Have every live preview of these repositories looked at, of all for None; each with its generation."""
        of_them = true() if repositories is None else previews.c.repository.in_(repositories)
        statement = raise_generation(previews.c.state != State.REMOVED, of_them)
        async with self._engine.begin() as connection:
            rows = await connection.execute(
                statement.returning(previews.c.repository, previews.c.number, previews.c.generation)
            )
            return [(PreviewId(row.repository, row.number), row.generation) for row in rows]

    async def due(self) -> list[tuple[PreviewId, int]]:
        """Previews, with their generation, that have work and no worker: the longest due first."""
        query = select(previews.c.repository, previews.c.number, previews.c.generation).where(is_due())
        query = query.order_by(previews.c.retry_at.nulls_first(), previews.c.created_at)
        async with self._autocommit.connect() as connection:
            rows = await connection.execute(query)
            return [(PreviewId(row.repository, row.number), row.generation) for row in rows]

    async def _raise(
        self, preview: PreviewId, *where: ColumnElement[bool], forced: bool = False, reset: bool = False
    ) -> int | None:
        """The news is sent even when nothing was raised: the router then reads the row anew."""
        statement = raise_generation(this(preview), *where, forced=forced, reset=reset)
        async with self._engine.begin() as connection:
            generation: int | None = await connection.scalar(statement.returning(previews.c.generation))
            await notify(connection, preview)
        return generation
