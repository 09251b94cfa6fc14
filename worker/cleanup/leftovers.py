"""What a preview that stands has no use for, and no step removes by itself: left by a run that was cut short."""

from orchestrator.databases.record import Holding
from orchestrator.preview.names import DatabaseKind, Names, kind_of_database, preview_of_database, was_asked_for
from orchestrator.runtime.concurrency import together
from orchestrator.store.store import Lease
from worker.context.context import Hands


async def discard_strays(hands: Hands, lease: Lease) -> None:
    """Remove them. To be called when nothing of the preview is on its way up."""
    await together(_discard_databases(hands, lease), _discard_volumes(hands, lease))


async def _discard_databases(hands: Hands, lease: Lease) -> None:
    """Copies of its database that were not finished, or that no commit goes back to; what people asked for stays."""
    instance, holding = hands.settings.instance, Holding.read((await hands.store.own(lease)).database)
    kept = {holding.undo.snapshot} if holding and holding.undo else set()
    for name in await hands.databases.names():
        is_ours = preview_of_database(instance, name) == lease.preview
        is_wanted = name in kept or was_asked_for(instance, name)
        if is_ours and not is_wanted and kind_of_database(instance, name) is not DatabaseKind.PREVIEW:
            await hands.databases.remove(name)


async def _discard_volumes(hands: Hands, lease: Lease) -> None:
    """Anonymous ones that no container has; a named one stays, for a later commit may mount it again."""
    names = Names(instance=hands.settings.instance, preview=lease.preview)
    used = {volume for status in await hands.engine.containers(names.labels()) for volume in status.volumes}
    for thing in await hands.engine.objects(names.labels()):
        is_named = thing.name.startswith(f"{names.project}_")
        if thing.kind == "volume" and not is_named and thing.name not in used:
            await hands.engine.remove_volume(thing.name)
