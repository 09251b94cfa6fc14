"""Takes the backups that are due. No lease is held: a push never waits for a backup.

A deployment that puts the database aside meanwhile ends the dump, which is then tried again.
"""

import structlog

from orchestrator.preview.errors import PreviewdError
from orchestrator.preview.state import PreviewId
from orchestrator.store import dumps
from worker.context.context import Hands

LOOK_SECONDS = 5.0

_log = structlog.get_logger()


async def back_up(hands: Hands) -> None:
    """One round, one backup after the other: a dump reads as much as the disk gives."""
    for preview in await hands.store.backups.claim():
        try:
            await _take(hands, preview)
        except PreviewdError as error:
            _log.error("backup failed", preview=str(preview), reason=error.message, remedy=error.remedy)


async def _take(hands: Hands, preview: PreviewId) -> None:
    rows, settings = hands.store.backups, hands.settings
    source = await dumps.source(hands.views, hands.vault, settings.instance, preview)
    taken = await dumps.take(hands.databases, rows, dumps.folder(settings, preview), source)
    _log.info("backup taken", preview=str(preview), file=taken.file, bytes=taken.bytes)
