"""Remove everything that a preview owns. May be run again at any point: what is gone already is passed over."""

from orchestrator.ports.engine import EngineObject
from orchestrator.runtime.concurrency import in_thread, run_all
from orchestrator.runtime.data_dir import remove_folder
from orchestrator.store.claims import Claim
from orchestrator.store.dumps import remove_all
from worker.cleanup.images import tidy_images
from worker.containers.host_files import binds_folder
from worker.context.context import WorkerContext


async def run(context: WorkerContext, claim: Claim) -> None:
    """In the order in which things hold on to each other: visitors, containers, what they used, what they were."""
    names = context.names(claim.preview)
    await claim.serving.unroute()
    owned = await context.engine.objects(names.labels())
    await _remove(context, owned, "container")
    await run_all(
        _remove(context, owned, "network"),
        _remove(context, owned, "volume"),
        tidy_images(context, claim.preview.repository),
        context.databases.remove(names.database),
        context.sources.remove(claim.preview.repository, claim.preview.number),
        in_thread(remove_folder, binds_folder(context.settings, claim.preview)),
        remove_all(claim, context.settings),
    )
    await claim.subnets.free()


async def _remove(context: WorkerContext, owned: list[EngineObject], kind: str) -> None:
    remove = {
        "container": context.engine.remove_container,
        "network": context.engine.remove_network,
        "volume": context.engine.remove_volume,
    }[kind]
    await run_all(*(remove(thing.id) for thing in owned if thing.kind == kind))
