"""Deployments: each attempt to bring a commit up, its steps, its log and how it ended; written under the lease."""

from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator.preview.errors import AuthorError, PreviewdError
from orchestrator.preview.records import Wiring
from orchestrator.preview.state import PreviewId, State, Step
from orchestrator.runtime import fence
from orchestrator.store.conditions import key, of
from orchestrator.store.connection import autocommit
from orchestrator.store.leases import Lease
from orchestrator.store.previews import advance
from orchestrator.store.tables import deployments, logs, steps


class ClaimedDeployments:
    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    async def start(self, generation: int, commit: str) -> int:
        """Begin a deployment and return its number; one that a killed worker left open is closed as interrupted."""
        async with self._lease.owned() as (connection, _):
            await _close(connection, self._lease.preview, "interrupted", None)
            return int(
                await connection.scalar(
                    insert(deployments)
                    .values(**key(self._lease.preview), generation=generation, commit=commit)
                    .returning(deployments.c.id)
                )
                or 0
            )

    async def close(self, outcome: str, error: PreviewdError | None = None) -> None:
        """Record how the preview's open deployment ended, if there is one, and with `error` at which step and why."""
        async with self._lease.owned() as (connection, _):
            await _close(connection, self._lease.preview, outcome, error)

    async def note(self, deployment: int, notes: Iterable[str]) -> None:
        """Record what the author should know though nothing failed."""
        await self._keep(deployment, {"notes": list(notes)})

    async def keep_wiring(self, deployment: int, wiring: Wiring) -> None:
        """Record how the stack came to its database."""
        await self._keep(deployment, {"wiring": wiring.stored()})

    async def enter_step(self, deployment: int, step: Step, state: State) -> None:
        """Note that `step` begins, and move to the state that it belongs to."""
        async with self._lease.owned() as (connection, row):
            await connection.execute(insert(steps).values(deployment=deployment, step=step))
            if row.state is not state:
                await advance(connection, row, state, f"{step.value} begins", {})

    async def leave_step(self, deployment: int, step: Step) -> None:
        """Note that `step` is done."""
        async with self._lease.owned() as (connection, _):
            await connection.execute(
                update(steps)
                .where(steps.c.deployment == deployment, steps.c.step == step)
                .values(finished_at=func.now())
            )

    async def times_ready(self, commit: str, within: timedelta) -> int:
        """How often this commit came up within so long until now."""
        query = select(func.count()).where(
            of(deployments, self._lease.preview),
            deployments.c.commit == commit,
            deployments.c.outcome == "ready",
            deployments.c.finished_at > func.now() - within,
        )
        async with self._lease.owned() as (connection, _):
            return int(await connection.scalar(query) or 0)

    async def _keep(self, deployment: int, values: dict[str, object]) -> None:
        async with self._lease.owned() as (connection, _):
            await connection.execute(update(deployments).where(deployments.c.id == deployment).values(**values))


class Logs:
    """What deployments print. Guarded by the fence and not by the token: a line that is late harms nobody."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._autocommit = autocommit(engine)

    async def append(self, deployment: int, step: Step, lines: Iterable[str]) -> None:
        """Raises LeaseLost."""
        fence.require()
        rows = [{"deployment": deployment, "step": step, "line": line.replace("\0", "")} for line in lines]
        if rows:
            async with self._autocommit.connect() as connection:
                await connection.execute(insert(logs), rows)


async def _close(connection: AsyncConnection, preview: PreviewId, outcome: str, error: PreviewdError | None) -> None:
    unfinished = (
        select(steps.c.step)
        .where(steps.c.deployment == deployments.c.id, steps.c.finished_at.is_(None))
        .scalar_subquery()
    )
    await connection.execute(
        update(deployments)
        .where(of(deployments, preview), deployments.c.outcome.is_(None))
        .values(
            outcome=outcome,
            failed_step=unfinished if error else None,
            reason=error.message if error else "",
            remedy=error.remedy if error else "",
            log_tail=list(error.log_tail) if isinstance(error, AuthorError) else [],
            finished_at=func.now(),
        )
    )
