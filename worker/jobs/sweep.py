"""Finds previews that have work and no worker, and news that the forge lacks. With it wake-ups are optional."""

from worker import admission
from worker.context.context import WorkerContext
from worker.jobs import kinds

SWEEP_SECONDS = 1.0


async def sweep(context: WorkerContext) -> None:
    """One round."""
    if not await context.store.sweep.finds_work():
        return
    for preview, _ in await context.store.generations.due():
        kinds.converge(context, preview)
    for preview in await context.store.reports.due():
        kinds.report(context, preview)
    await admission.move_up(context)
