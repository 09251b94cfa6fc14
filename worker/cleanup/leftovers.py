"""What a preview that stands has no use for, and no step removes by itself: left by a run that was cut short."""

from orchestrator.databases.record import DatabaseRecord
from orchestrator.preview.names import DatabaseKind, kind_of_database, preview_of_database, was_asked_for
from orchestrator.runtime.concurrency import run_all
from orchestrator.store.claims import Claim
from worker.context.context import WorkerContext


async def discard_leftovers(context: WorkerContext, claim: Claim, record: DatabaseRecord | None) -> None:
    """`record` is what is known of its database. To be called when nothing of the preview is on its way up."""
    await run_all(_discard_databases(context, claim, record), _discard_volumes(context, claim))


async def _discard_databases(context: WorkerContext, claim: Claim, record: DatabaseRecord | None) -> None:
    """Copies of its database that were not finished, or that no commit goes back to; what people asked for stays."""
    instance = context.settings.instance
    kept = {record.rollback.snapshot} if record and record.rollback else set()
    for name in await context.databases.names():
        is_ours = preview_of_database(instance, name) == claim.preview
        is_wanted = name in kept or was_asked_for(instance, name)
        if is_ours and not is_wanted and kind_of_database(instance, name) is not DatabaseKind.PREVIEW:
            await context.databases.remove(name)


async def _discard_volumes(context: WorkerContext, claim: Claim) -> None:
    """Anonymous ones that no container has; a named one stays, for a later commit may mount it again."""
    names = context.names(claim.preview)
    used = {volume for status in await context.engine.containers(names.labels()) for volume in status.volumes}
    for thing in await context.engine.objects(names.labels()):
        is_named = thing.name.startswith(f"{names.project}_")
        if thing.kind == "volume" and not is_named and thing.name not in used:
            await context.engine.remove_volume(thing.name)
