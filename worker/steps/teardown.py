"""Remove everything that a preview owns. May be run again at any point: what is gone already is passed over."""

from orchestrator.ports.engine import EngineObject
from orchestrator.preview.names import Names
from orchestrator.runtime.concurrency import in_thread, together
from orchestrator.runtime.data_dir import remove_folder
from orchestrator.store.dumps import remove_all
from orchestrator.store.store import Lease
from worker.cleanup.images import tidy_images
from worker.containers.host_files import binds_folder
from worker.context.context import Hands


async def run(hands: Hands, lease: Lease) -> None:
    """In the order in which things hold on to each other: visitors, containers, what they used, what they were."""
    names = Names(instance=hands.settings.instance, preview=lease.preview)
    await hands.store.unroute(lease)
    owned = await hands.engine.objects(names.labels())
    await _remove(hands, owned, "container")
    await together(
        _remove(hands, owned, "network"),
        _remove(hands, owned, "volume"),
        tidy_images(hands, lease.preview.repository),
        hands.databases.remove(names.database),
        hands.sources.remove(lease.preview.repository, lease.preview.number),
        in_thread(remove_folder, binds_folder(hands.settings, lease.preview)),
        remove_all(hands.store, hands.settings, lease),
    )
    await hands.store.free_subnets(lease)


async def _remove(hands: Hands, owned: list[EngineObject], kind: str) -> None:
    remove = {
        "container": hands.engine.remove_container,
        "network": hands.engine.remove_network,
        "volume": hands.engine.remove_volume,
    }[kind]
    await together(*(remove(thing.id) for thing in owned if thing.kind == kind))
