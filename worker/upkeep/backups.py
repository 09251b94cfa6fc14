"""Takes the backups that are due. No lease is held: a push never waits for a backup.

A deployment that puts the database aside meanwhile ends the dump, which is then tried again.
"""

import structlog

from orchestrator.preview.errors import PreviewdError
from orchestrator.preview.state import PreviewId
from orchestrator.store import dumps
from worker.context.context import WorkerContext

LOOK_SECONDS = 5.0

_log = structlog.get_logger()


async def back_up(context: WorkerContext) -> None:
    """One round, one backup after the other: a dump reads as much as the disk gives."""
    for preview in await context.store.backups.claim():
        try:
            await _take(context, preview)
        except PreviewdError as error:
            _log.error("backup failed", preview=str(preview), reason=error.message, remedy=error.remedy)


async def _take(context: WorkerContext, preview: PreviewId) -> None:
    rows, settings = context.store.backups, context.settings
    source = await dumps.source(context.queries, context.encryption, settings.instance, preview)
    taken = await dumps.take(context.databases, rows, dumps.folder(settings, preview), source)
    _log.info("backup taken", preview=str(preview), file=taken.file, bytes=taken.bytes)
