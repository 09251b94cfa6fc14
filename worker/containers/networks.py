"""The networks and volumes of a preview's stack, there before its containers are."""

from ipaddress import IPv4Network

from orchestrator.admission.subnets import free_subnets
from orchestrator.admission.words import no_subnet
from orchestrator.compose.model import Stack
from orchestrator.preview.errors import NoRoom
from orchestrator.preview.state import Resource
from worker.containers.plan import network_name, subnet_prefix
from worker.deployment.deployment import Deployment


async def ensure_volume(deployment: Deployment, volume: str) -> None:
    """Have one volume, by its name in the file; what it holds stays."""
    names = deployment.names
    await deployment.permit()
    await deployment.context.engine.ensure_volume(names.volume(volume), names.volume_labels(volume))


async def ensure_network(deployment: Deployment, stack: Stack, name: str) -> None:
    """Have one network on a subnet of our own. One that something else uses is never tried again.

    Raises NoRoom when no subnet is left.
    """
    engine_name, internal = network_name(deployment, stack, name), stack.networks[name].internal
    prefix = subnet_prefix(deployment.context.settings, stack)
    subnet = await deployment.context.store.subnets.of(engine_name)
    while True:
        if subnet is None:
            subnet = await _take_subnet(deployment, engine_name, prefix)
        await deployment.permit()
        labels = deployment.names.network_labels(name)
        if await deployment.context.engine.ensure_network(engine_name, subnet, labels, internal=internal):
            return
        await deployment.claim.subnets.give_up(subnet)
        subnet = None


async def _take_subnet(deployment: Deployment, network: str, prefix: int) -> IPv4Network:
    store, pool = deployment.context.store, deployment.context.settings.subnet_pool
    while True:
        ours, present = await store.subnets.taken(), await deployment.context.engine.subnets()
        subnet = next(free_subnets(pool, prefix, [*ours, *present]), None)
        if subnet is None:
            foreign = [other for other in present if other.subnet_of(pool) and not any(map(other.overlaps, ours))]
            await store.subnets.avoid(foreign)  # so that whoever comes next waits before anything is done for it
            raise NoRoom(no_subnet(pool, prefix), Resource.NETWORKS)
        if await deployment.claim.subnets.take(network, subnet):
            return subnet
