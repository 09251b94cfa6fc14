"""Remove everything that a preview owns. May be run again at any point: what is gone already is passed over."""

from orchestrator.ports.engine import EngineObject
from orchestrator.preview.names import Names
from orchestrator.runtime.concurrency import in_thread, run_all
from orchestrator.runtime.data_dir import remove_folder
from orchestrator.store.dumps import remove_all
from orchestrator.store.store import Lease
from worker.cleanup.images import tidy_images
from worker.containers.host_files import binds_folder
from worker.context.context import WorkerContext


async def run(context: WorkerContext, lease: Lease) -> None:
    """In the order in which things hold on to each other: visitors, containers, what they used, what they were."""
    names = Names(instance=context.settings.instance, preview=lease.preview)
    await context.store.unroute(lease)
    owned = await context.engine.objects(names.labels())
    await _remove(context, owned, "container")
    await run_all(
        _remove(context, owned, "network"),
        _remove(context, owned, "volume"),
        tidy_images(context, lease.preview.repository),
        context.databases.remove(names.database),
        context.sources.remove(lease.preview.repository, lease.preview.number),
        in_thread(remove_folder, binds_folder(context.settings, lease.preview)),
        remove_all(context.store, context.settings, lease),
    )
    await context.store.free_subnets(lease)


async def _remove(context: WorkerContext, owned: list[EngineObject], kind: str) -> None:
    remove = {
        "container": context.engine.remove_container,
        "network": context.engine.remove_network,
        "volume": context.engine.remove_volume,
    }[kind]
    await run_all(*(remove(thing.id) for thing in owned if thing.kind == kind))
