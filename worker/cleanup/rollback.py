"""A preview's database beyond one step: the way back while a commit is not proven, and what is left behind by it.

The database step writes an `Undo` down before it changes what serves. When the commit is proven, the store drops that
way back in the same transaction in which the commit begins to serve; else `take_back` goes it. Both may be done again.
"""

from dataclasses import replace

import structlog

from orchestrator.databases.record import Rollback
from orchestrator.preview.errors import ConfigurationError
from orchestrator.store.claims import Claim
from orchestrator.store.encryption import DATABASE_PASSWORD
from worker.cleanup.unserving import discard_unserving
from worker.context.context import WorkerContext

_log = structlog.get_logger()


async def take_back(context: WorkerContext, claim: Claim) -> None:
    """Give the serving commit its database back as it was, if a newer one that did not come up changed it.

    To be called when nothing of the newer commit runs any more. Without a change the data stays as it is by now:
    visitors may have added to it.
    """
    record = (await claim.row()).database
    if record is None or record.rollback is None:
        return
    if await _is_changed(context, claim, record.rollback):
        name = context.names(claim.preview).database
        await context.databases.restore(name, record.rollback.snapshot)
        _log.info("database taken back", preview=str(claim.preview), snapshot=record.rollback.snapshot)
    await claim.keep_database(record.taken_back())


async def withdraw(context: WorkerContext, claim: Claim) -> None:
    """Take back whatever was on its way up: nobody reaches it any more, it no longer runs, and its data is gone."""
    await claim.serving.clear_candidate()
    await discard_unserving(context, claim)
    await take_back(context, claim)
    await discard_snapshot(context, claim)


async def discard_snapshot(context: WorkerContext, claim: Claim) -> None:
    """Drop the snapshot that is no way back any more."""
    record = (await claim.row()).database
    if record is not None and record.discard:
        await context.databases.remove(record.discard)
        await claim.keep_database(replace(record, discard=""))


async def drop_unfinished(context: WorkerContext, repository: int) -> None:
    """Drop a template that is half made, with the connections that its role was promised."""
    for template in await context.databases.templates():
        if template.repository == repository and template.made_of is None:
            await context.databases.remove(template.name)


async def _is_changed(context: WorkerContext, claim: Claim, rollback: Rollback) -> bool:
    """Whether the newer commit may have changed what the older one needs. In doubt it has."""
    if rollback.reset or rollback.revisions is None:
        return True
    row = await claim.row()
    try:
        password = context.encryption.open(row.secrets or b"")[DATABASE_PASSWORD]
    except ConfigurationError:  # the operator took the key away: what runs has to go all the same
        return True
    name = context.names(claim.preview).database
    return await context.databases.revisions(name, password) != frozenset(rollback.revisions)
