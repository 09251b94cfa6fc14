"""Start the stack: its network and volumes, then each service as soon as what it depends on is as far as it asks.

A container whose configuration did not change is kept. One that did is started beside the old one, which goes when
the new one was proven.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from orchestrator.compose.model import Condition, Service
from orchestrator.diagnosis import remedy_for
from orchestrator.errors import LaunchError, OperatorError
from orchestrator.ports import ContainerStatus
from orchestrator.subnets import free_subnets
from worker.containers import Planned, output_tail, planned
from worker.deployment import Deployment
from worker.stack import read_stack
from worker.together import together

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0
CHECK_SECONDS = 10.0
"""A health test that takes longer counts as failed and is run again."""

_Reached = Callable[[Planned], Awaitable[bool]]


async def run(deployment: Deployment) -> None:
    stack, _ = await read_stack(deployment)
    await _ensure_network(deployment)
    for volume in stack.volumes:
        await deployment.permit()
        names = deployment.names
        await deployment.hands.engine.ensure_volume(names.volume(volume), names.volume_labels(volume))
    launch = _Launch(deployment, frozenset(stack.services))
    await together(*(launch.start(service) for service in stack.services.values()))
    await together(*(launch.settled(service) for service in stack.services.values()))


class _Launch:
    """One stack on its way up. Services start side by side, and wait for each other by name."""

    def __init__(self, deployment: Deployment, present: frozenset[str]) -> None:
        self._deployment = deployment
        self._present = present
        self._engine = deployment.hands.engine
        self._deadline = time.monotonic() + deployment.hands.settings.launch_seconds
        self._planned: dict[str, Planned] = {}
        self._started: dict[str, asyncio.Event] = {}

    async def start(self, service: Service) -> None:
        for name, dependency in service.depends_on.items():
            if name not in self._present:
                continue  # `required: false`, and its profile is off
            await self._event(name).wait()
            await self._reach(name, dependency.condition)
        container = self._planned[service.name] = await planned(self._deployment, service)
        if not await self._is_there(container):
            await self._deployment.permit()
            await self._engine.create_container(container.name, container.body)
        status = await self._status(container)
        if not status.running and not _is_done(status):
            await self._deployment.permit()
            await self._engine.start(container.name)
            await self._deployment.journal.say(f"{service.name}: started")
        self._event(service.name).set()

    async def _is_there(self, container: Planned) -> bool:
        """Whether an equal container was made before, by an earlier commit or by a run that was cut short."""
        existing = await self._engine.container(container.name)
        return existing is not None and self._deployment.names.labels().items() <= existing.labels.items()

    async def settled(self, service: Service) -> None:
        """Return when the service is healthy, or runs, or has done its work."""
        container = self._planned[service.name]
        await self._reach(service.name, Condition.HEALTHY if container.test else Condition.STARTED)

    async def _reach(self, name: str, condition: Condition) -> None:
        container = self._planned[name]
        match condition:
            case Condition.STARTED:
                status = await self._status(container)
                if not status.running and not _is_done(status):
                    raise await self._died(container, status)
            case Condition.HEALTHY:
                await self._poll(container, self._is_healthy, "healthy")
            case Condition.COMPLETED:
                await self._poll(container, self._has_completed, "done")

    async def _is_healthy(self, container: Planned) -> bool:
        if container.test is None:
            raise LaunchError(
                f"{container.service.place}: something waits until {container.service.name} is healthy, "
                "and it has no healthcheck",
                f"give {container.service.name} a `healthcheck:`, or wait for `service_started` only",
            )
        exit_code = await self._engine.run_check(container.name, container.test, CHECK_SECONDS)
        if exit_code == 0:
            return True
        status = await self._status(container)
        if not status.running:
            raise await self._died(container, status)
        return False

    async def _has_completed(self, container: Planned) -> bool:
        status = await self._status(container)
        if not status.running and status.exit_code:
            raise await self._died(container, status)
        return _is_done(status)

    async def _poll(self, container: Planned, reached: _Reached, what: str) -> None:
        """Ask with growing pauses: the Engine's own next check may be half a minute away."""
        pause = FIRST_PAUSE_SECONDS
        while not await reached(container):
            if time.monotonic() > self._deadline:
                limit = self._deployment.hands.settings.launch_seconds
                raise await self._failure(container, f"was not {what} after {limit:g} s")
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE_SECONDS, pause * 1.5)
        await self._deployment.journal.say(f"{container.service.name}: {what}")

    async def _status(self, container: Planned) -> ContainerStatus:
        status = await self._engine.container(container.name)
        if status is None:
            raise LaunchError(f"the container of {container.service.name} was removed by somebody", "push again")
        return status

    async def _died(self, container: Planned, status: ContainerStatus) -> LaunchError:
        if status.oom_killed:
            limit = self._deployment.hands.settings.memory_bytes >> 20
            return await self._failure(container, f"ran out of memory: the limit is {limit} MiB")
        return await self._failure(container, f"exited with code {status.exit_code}")

    async def _failure(self, container: Planned, what: str) -> LaunchError:
        lines = await output_tail(self._deployment, container.name)
        return LaunchError(f"service {container.service.name} {what}", remedy_for(lines), lines)

    def _event(self, name: str) -> asyncio.Event:
        return self._started.setdefault(name, asyncio.Event())


def _is_done(status: ContainerStatus) -> bool:
    return status.started and not status.running and status.exit_code == 0


async def _ensure_network(deployment: Deployment) -> None:
    """Make the preview's network on a subnet of our own. One that something else uses is never tried again."""
    store, network, settings = deployment.hands.store, deployment.names.network(), deployment.hands.settings
    subnet = await store.subnet_of(network)
    while True:
        if subnet is None:
            taken = [*await store.taken_subnets(), *await deployment.hands.engine.subnets()]
            subnet = next(free_subnets(settings.subnet_pool, settings.subnet_prefix, taken), None)
            if subnet is None:
                raise OperatorError("every subnet for previews is taken", "enlarge PREVIEWD_SUBNET_POOL")
            if not await store.take_subnet(deployment.lease, network, subnet):
                subnet = None
                continue
        await deployment.permit()
        if await deployment.hands.engine.ensure_network(network, subnet, deployment.names.network_labels()):
            return
        await store.give_up_subnet(deployment.lease, subnet)
        subnet = None
