"""Looks after the previews' Postgres: ends what lasts too long, holds databases to their size, records their use."""

import structlog

from orchestrator.databases.connections import Budget
from orchestrator.databases.sessions import Policed
from orchestrator.databases.usage import Measured
from orchestrator.preview.names import preview_of_database
from orchestrator.preview.state import PreviewId, Step
from worker.context.context import WorkerContext

WATCH_SECONDS = 15.0
"""How long a database may grow, or a session last, beyond what is allowed. Two workers that watch do no harm."""

_log = structlog.get_logger()


async def watch(context: WorkerContext) -> None:
    """One round."""
    policed, budget = await context.databases.police(), await context.databases.budget()
    measured = _measured(policed, budget, context.settings.instance)
    await context.store.usage.record(measured, budget)
    for preview, found in measured.items():
        if found.ended:
            await _say(context, preview, found.ended)


def _measured(policed: Policed, budget: Budget, instance: str) -> dict[PreviewId, Measured]:
    ended = {session.database: session.reason for session in policed.ended}
    return {
        preview: Measured(
            bytes=size.bytes,
            limit_bytes=size.limit,
            connections=budget.in_use.get(size.name, 0),
            connection_limit=budget.granted.get(size.name, 0),
            ended=ended.get(size.name, ""),
        )
        for size in policed.sizes
        if (preview := preview_of_database(instance, size.name))
    }


async def _say(context: WorkerContext, preview: PreviewId, ended: str) -> None:
    """In our log, and in that of the newest deployment, where the application's people look."""
    _log.info("database session ended", preview=str(preview), reason=ended)
    for newest in await context.queries.deployments(preview, limit=1):
        line = f"previewd ended a session of the application in its database: {ended}"
        await context.store.logs.append(newest.id, Step.DATABASE, [line])
