"""What people and programs read of previewd's own Postgres: dashboard, API, CLI, report and router. Never writes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.preview.records import Deployment, LogLine, Preview, Route, StepTimes, Transition, Wiring
from orchestrator.preview.state import PreviewId, State
from orchestrator.store.conditions import this
from orchestrator.store.connection import autocommit
from orchestrator.store.tables import deployments, logs, previews, steps, transitions

POLL_SECONDS = 0.5
"""Log lines are not announced: who wants them as they come asks this often."""
PAGE_LINES = 1000

Pause = Callable[[float], Awaitable[bool]]
"""Waits for so many seconds, and says whether to go on."""


async def sleep(seconds: float) -> bool:
    """The pause of one whom nothing ends."""
    await asyncio.sleep(seconds)
    return True


class Queries:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = autocommit(engine)

    async def live(self) -> list[Preview]:
        """Every preview that is not removed, newest change first."""
        return await self._previews(previews.c.state != State.REMOVED)

    async def all(self) -> list[Preview]:
        """Every preview that ever was, newest change first."""
        return await self._previews(previews.c.repository > 0)

    async def preview(self, preview: PreviewId) -> Preview | None:
        if not preview.fits:
            return None
        found = await self._previews(this(preview))
        return found[0] if found else None

    async def template(self, preview: PreviewId) -> Preview | None:
        """Where the template of a base branch stands. No other view shows it: it is nobody's preview."""
        query = select(previews).where(this(preview))
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).one_or_none()
            return None if row is None else _preview(row)

    async def owners(self) -> set[PreviewId]:
        """Whoever may own containers, databases and the like: live previews, and templates."""
        query = select(previews.c.repository, previews.c.number).where(previews.c.state != State.REMOVED)
        async with self._engine.connect() as connection:
            return {PreviewId(row.repository, row.number) for row in await connection.execute(query)}

    async def find(self, text: str) -> list[Preview]:
        """Previews that a person may mean by `text`: an id, `owner/name#7`, `#7`, `7`, or a host. Live ones first."""
        condition = _named(text)
        if condition is None:
            return []
        found = await self._previews(condition)
        return [p for p in found if p.state is not State.REMOVED] or found

    async def deployments(self, preview: PreviewId, limit: int = 20) -> list[Deployment]:
        """The newest deployments, newest first, with the times of their steps."""
        query = (
            select(deployments)
            .where(deployments.c.repository == preview.repository, deployments.c.number == preview.number)
            .order_by(deployments.c.id.desc())
            .limit(limit)
        )
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).all()
            taken = await connection.execute(
                select(steps).where(steps.c.deployment.in_([row.id for row in rows])).order_by(steps.c.started_at)
            )
            return [_deployment(row, taken_rows) for row, taken_rows in _grouped(rows, taken.all())]

    async def database_secrets(self, preview: PreviewId) -> bytes | None:
        """The sealed secrets of a preview that has a database of ours; None when it has none."""
        query = select(previews.c.secrets).where(this(preview), previews.c.database.is_not(None))
        async with self._engine.connect() as connection:
            sealed: bytes | None = await connection.scalar(query)
        return sealed

    async def transitions(self, preview: PreviewId) -> list[Transition]:
        """Every change of state, oldest first."""
        query = (
            select(transitions)
            .where(transitions.c.repository == preview.repository, transitions.c.number == preview.number)
            .order_by(transitions.c.id)
        )
        async with self._engine.connect() as connection:
            return [
                Transition(generation=r.generation, source=r.source, target=r.target, reason=r.reason, at=r.at)
                for r in await connection.execute(query)
            ]

    async def follow(self, deployment: int, after: int = 0, pause: Pause = sleep) -> AsyncIterator[list[LogLine]]:
        """The lines behind `after` as they come, until the deployment has ended or `pause` says no.

        An empty batch says that these were all so far. The end is looked for before the lines, so that none comes after
        the last look.
        """
        while True:
            ended = await self._has_ended(deployment)
            lines = await self.log(deployment, after)
            yield lines
            if lines:
                after = lines[-1].id
            elif ended or not await pause(POLL_SECONDS):
                return

    async def _has_ended(self, deployment: int) -> bool:
        """Also when it is not there any more. One that a newer one follows was closed as that began."""
        query = select(deployments.c.id).where(deployments.c.id == deployment, deployments.c.outcome.is_(None))
        async with self._engine.connect() as connection:
            return await connection.scalar(query) is None

    async def log(self, deployment: int, after: int = 0, limit: int = PAGE_LINES) -> list[LogLine]:
        """Lines of a deployment behind the line `after`, oldest first."""
        query = select(logs).where(logs.c.deployment == deployment, logs.c.id > after).order_by(logs.c.id).limit(limit)
        async with self._engine.connect() as connection:
            return [LogLine(id=r.id, step=r.step, line=r.line, at=r.at) for r in await connection.execute(query)]

    async def log_end(self, deployment: int, limit: int = 1000) -> list[LogLine]:
        """The last lines of a deployment, oldest first."""
        query = select(logs).where(logs.c.deployment == deployment).order_by(logs.c.id.desc()).limit(limit)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        return [LogLine(id=r.id, step=r.step, line=r.line, at=r.at) for r in reversed(rows)]

    async def images(self) -> frozenset[str]:
        """The names of all images that some preview serves with, or is about to."""
        names = func.unnest(previews.c.serving_images + previews.c.candidate_images)
        async with self._engine.connect() as connection:
            return frozenset(await connection.scalars(select(names).distinct()))

    async def states(self) -> dict[State, int]:
        """How many previews there are in each state."""
        query = select(previews.c.state, func.count()).where(_is_of_a_pull()).group_by(previews.c.state)
        async with self._engine.connect() as connection:
            return {state: count for state, count in await connection.execute(query)}  # noqa: C416 - rows are no tuples

    async def route(self, host: str) -> Route | None:
        """Where requests for `host` go; None when no live preview has it."""
        return next(iter((await self._routes(previews.c.host == host)).values()), None)

    async def route_of(self, preview: PreviewId) -> Route | None:
        return (await self._routes(this(preview))).get(preview)

    async def routes(self) -> dict[PreviewId, Route]:
        """Where the requests for every live preview go."""
        return await self._routes(previews.c.repository > 0)

    async def _routes(self, condition: ColumnElement[bool]) -> dict[PreviewId, Route]:
        query = select(previews).where(condition, previews.c.state != State.REMOVED)
        async with self._engine.connect() as connection:
            return {PreviewId(row.repository, row.number): _route(row) for row in await connection.execute(query)}

    async def _previews(self, condition: ColumnElement[bool]) -> list[Preview]:
        query = select(previews).where(condition, _is_of_a_pull()).order_by(previews.c.updated_at.desc())
        async with self._engine.connect() as connection:
            return [_preview(row) for row in await connection.execute(query)]


def _is_of_a_pull() -> ColumnElement[bool]:
    """Not a template (`PreviewId.is_template`), of which people are told nothing by itself."""
    return previews.c.number > 0


def _named(text: str) -> ColumnElement[bool] | None:
    repository, hash_sign, number = text.rpartition("#")
    if number.isdecimal() and len(number) < 10:  # noqa: PLR2004 - what fits the column
        named = previews.c.number == int(number)
        return named & (previews.c.repository_name == repository) if hash_sign and repository else named
    try:
        preview = PreviewId.parse(text)
    except ValueError:
        return previews.c.host == text.lower() if "." in text else None
    return this(preview) if preview.fits else None


def _preview(row: Row[Any]) -> Preview:
    return Preview(
        id=PreviewId(row.repository, row.number),
        repository_name=row.repository_name,
        title=row.title,
        author=row.author,
        branch=row.branch,
        host=row.host,
        state=row.state,
        reason=row.reason,
        commit=row.commit,
        serving_commit=row.serving_commit if row.serving_upstream else None,
        created_at=row.created_at,
        updated_at=row.updated_at,
        waits_for=row.waits_for,
        place=row.place,
    )


def _route(row: Row[Any]) -> Route:
    return Route(
        host=row.host,
        state=row.state,
        reason=row.reason,
        commit=row.serving_commit,
        upstream=row.serving_upstream,
        candidate_commit=row.candidate_commit,
        candidate_upstream=row.candidate_upstream,
        probe_token=row.probe_token,
    )


def _grouped(rows: Sequence[Row[Any]], taken: Sequence[Row[Any]]) -> list[tuple[Row[Any], list[Row[Any]]]]:
    return [(row, [step for step in taken if step.deployment == row.id]) for row in rows]


def _deployment(row: Row[Any], taken: list[Row[Any]]) -> Deployment:
    return Deployment(
        id=row.id,
        generation=row.generation,
        commit=row.commit,
        outcome=row.outcome,
        failed_step=row.failed_step,
        reason=row.reason,
        remedy=row.remedy,
        log_tail=tuple(row.log_tail),
        notes=tuple(row.notes),
        started_at=row.started_at,
        finished_at=row.finished_at,
        steps=tuple(StepTimes(step=s.step, started_at=s.started_at, finished_at=s.finished_at) for s in taken),
        wiring=Wiring.read(row.wiring),
    )
