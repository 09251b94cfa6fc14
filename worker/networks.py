"""The networks and volumes of a preview's stack, there before its containers are."""

from ipaddress import IPv4Network

from orchestrator.compose.model import Stack
from orchestrator.errors import OperatorError
from orchestrator.subnets import free_subnets
from worker.containers import network_name, subnet_prefix
from worker.deployment import Deployment


async def ensure_volume(deployment: Deployment, volume: str) -> None:
    """Have one volume, by its name in the file; what it holds stays."""
    names = deployment.names
    await deployment.permit()
    await deployment.hands.engine.ensure_volume(names.volume(volume), names.volume_labels(volume))


async def ensure_network(deployment: Deployment, stack: Stack, name: str) -> None:
    """Have one network on a subnet of our own. One that something else uses is never tried again.

    Raises OperatorError when no subnet is left.
    """
    engine_name, internal = network_name(deployment, stack, name), stack.networks[name].internal
    prefix = subnet_prefix(deployment.hands.settings, stack)
    subnet = await deployment.hands.store.subnet_of(engine_name)
    while True:
        if subnet is None:
            subnet = await _take_subnet(deployment, engine_name, prefix)
        await deployment.permit()
        labels = deployment.names.network_labels(name)
        if await deployment.hands.engine.ensure_network(engine_name, subnet, labels, internal=internal):
            return
        await deployment.hands.store.give_up_subnet(deployment.lease, subnet)
        subnet = None


async def _take_subnet(deployment: Deployment, network: str, prefix: int) -> IPv4Network:
    store, settings = deployment.hands.store, deployment.hands.settings
    while True:
        taken = [*await store.taken_subnets(), *await deployment.hands.engine.subnets()]
        subnet = next(free_subnets(settings.subnet_pool, prefix, taken), None)
        if subnet is None:
            raise OperatorError("every subnet for previews is taken", "enlarge PREVIEWD_SUBNET_POOL")
        if await store.take_subnet(deployment.lease, network, subnet):
            return subnet
