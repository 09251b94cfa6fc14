"""A preview's database beyond one step: the way back while a commit is not proven, and what is left behind by it.

The database step writes an `Undo` down before it changes what serves. When the commit is proven, the store drops that
way back in the same transaction in which the commit begins to serve; else `take_back` goes it. Both may be done again.
"""

from dataclasses import replace

import structlog

from orchestrator.databases.record import Holding, Undo
from orchestrator.preview.errors import ConfigurationError
from orchestrator.preview.names import Names
from orchestrator.store.encryption import DATABASE_PASSWORD
from orchestrator.store.store import Lease
from worker.cleanup.unserving import discard_unserving
from worker.context.context import Hands

_log = structlog.get_logger()


async def take_back(hands: Hands, lease: Lease) -> None:
    """Give the serving commit its database back as it was, if a newer one that did not come up changed it.

    To be called when nothing of the newer commit runs any more. Without a change the data stays as it is by now:
    visitors may have added to it.
    """
    row = await hands.store.own(lease)
    holding = Holding.read(row.database)
    if holding is None or holding.undo is None:
        return
    if await _is_changed(hands, lease, holding.undo):
        name = Names(instance=hands.settings.instance, preview=lease.preview).database
        await hands.databases.restore(name, holding.undo.snapshot)
        _log.info("database taken back", preview=str(lease.preview), snapshot=holding.undo.snapshot)
    await hands.store.keep_holding(lease, holding.taken_back())


async def withdraw(hands: Hands, lease: Lease) -> None:
    """Take back whatever was on its way up: nobody reaches it any more, it no longer runs, and its data is gone."""
    await hands.store.clear_candidate(lease)
    await discard_unserving(hands, lease)
    await take_back(hands, lease)
    await discard_snapshot(hands, lease)


async def discard_snapshot(hands: Hands, lease: Lease) -> None:
    """Drop the snapshot that is no way back any more."""
    holding = Holding.read((await hands.store.own(lease)).database)
    if holding is not None and holding.discard:
        await hands.databases.remove(holding.discard)
        await hands.store.keep_holding(lease, replace(holding, discard=""))


async def drop_unfinished(hands: Hands, repository: int) -> None:
    """Drop a template that is half made, with the connections that its role was promised."""
    for template in await hands.databases.templates():
        if template.repository == repository and template.made_of is None:
            await hands.databases.remove(template.name)


async def _is_changed(hands: Hands, lease: Lease, undo: Undo) -> bool:
    """Whether the newer commit may have changed what the older one needs. In doubt it has."""
    if undo.reset or undo.revisions is None:
        return True
    row = await hands.store.own(lease)
    try:
        password = hands.vault.open(row.secrets or b"")[DATABASE_PASSWORD]
    except ConfigurationError:  # the operator took the key away: what runs has to go all the same
        return True
    name = Names(instance=hands.settings.instance, preview=lease.preview).database
    return await hands.databases.revisions(name, password) != frozenset(undo.revisions)
