"""Start the stack: its networks and volumes, then each service as soon as what it depends on is as far as it asks.

A container whose configuration did not change is kept. One that did is started beside the old one, which goes when
the new one was proven. While both run, the service's name leads to both, as for two replicas: Docker's DNS answers
all addresses, in turn. A client that is refused by the one that is not ready yet gets the other, and nothing has to be
put back when the new one fails. Only where both would write to one volume or folder is the old one stopped first.

What has ended is started again by each deployment, as `docker compose up` does it: a migration that did not change
may find a database that was made anew.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from orchestrator.compose.model import Condition, Hook, Service, Stack
from orchestrator.ports.engine import Command, ContainerStatus
from orchestrator.preview.errors import LaunchError, PreviewdError
from orchestrator.runtime.concurrency import run_all
from worker.containers.endings import output_tail, require_own_end
from worker.containers.hooks import run_pre_stop
from worker.containers.host_files import without_host_paths
from worker.containers.networks import ensure_network, ensure_volume
from worker.containers.plan import Plan, Planned, needs, plan
from worker.deployment.deployment import Deployment
from worker.deployment.stack import read_stack

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0
CHECK_SECONDS = 10.0
"""A health test that takes longer counts as failed and is run again."""

HOOK_SECONDS = 60.0

_Reached = Callable[[], Awaitable[bool]]


async def run(deployment: Deployment) -> None:
    stack, _ = await read_stack(deployment)
    containers = await plan(deployment)
    await run_all(
        *(ensure_network(deployment, stack, name) for name in stack.networks),
        *(ensure_volume(deployment, volume) for volume in stack.volumes),
    )
    present = await deployment.context.engine.containers(deployment.names.labels())
    serving = (await deployment.claim.row()).serving.containers
    await _Launch(deployment, stack, containers, present, serving).run()


@dataclass(slots=True)
class _Progress:
    """How far a service is. Each event is set once and stays set, also when an optional service failed."""

    created: asyncio.Event = field(default_factory=asyncio.Event)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    healthy: asyncio.Event = field(default_factory=asyncio.Event)
    completed: asyncio.Event = field(default_factory=asyncio.Event)

    def give_up(self) -> None:
        """Let those go on that only would have liked to have it."""
        for event in (self.created, self.started, self.healthy, self.completed):
            event.set()


class _Launch:
    """One stack on its way up. Services start side by side, and wait for each other by name."""

    def __init__(
        self,
        deployment: Deployment,
        stack: Stack,
        containers: Plan,
        present: Iterable[ContainerStatus],
        serving: Collection[str],
    ) -> None:
        self._deployment = deployment
        self._engine = deployment.context.engine
        self._services = stack.services
        self._plan = containers
        self._present = {status.name: status for status in present}
        self._serving = serving
        self._deadline = time.monotonic() + deployment.context.settings.launch_seconds
        self._progress = {name: _Progress() for name in stack.services}
        self._asked = _asked(stack.services)
        self._ids: dict[str, str] = {}
        self._stopping: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._stopped: set[str] = set()
        self._renewed: set[str] = set()
        """Services of which a container was removed and made again under its name."""

    async def run(self) -> None:
        self._require_tests()
        await run_all(*(self._bring_up(service) for service in self._services.values()))
        await run_all(*(self._require_alive(service) for service in self._services.values()))

    async def _bring_up(self, service: Service) -> None:
        try:
            await self._create(service)
            await self._wait_for_dependencies(service)
            await self._start(service)
            await self._reach(service)
        except LaunchError as error:
            if not self._is_optional(service.name):
                raise
            await self._deployment.journal.say(f"{service.name}: {error.message}; nothing requires it")
            self._progress[service.name].give_up()

    # The way of one service

    async def _create(self, service: Service) -> None:
        """Have its containers, not running yet: those whose network or mounts they share are there before."""
        for name in needs(service) & self._services.keys():
            await self._progress[name].created.wait()
        await run_all(*(self._ensure_container(container) for container in self._plan[service.name]))
        self._progress[service.name].created.set()

    async def _ensure_container(self, container: Planned) -> None:
        kept = await self._kept(container)
        if kept is not None and kept.started:
            self._ids[container.name] = kept.id
            return
        await self._deployment.permit()
        with self._in_authors_words(container):
            created = await self._engine.create_container(container.name, container.body(self._ids))
        self._ids[container.name] = created
        for network, aliases in container.further.items():
            await self._engine.connect(network, created, aliases, container.around.links)

    async def _kept(self, container: Planned) -> ContainerStatus | None:
        """The container of this name, if there is one that can be used; one that cannot is removed."""
        kept = self._present.get(container.name)
        if kept is None or self._is_of_use(container, kept):
            return kept
        await self._deployment.permit()
        self._renewed.add(container.service.name)
        await self._engine.remove_container(kept.id)
        return None

    def _is_of_use(self, container: Planned, kept: ContainerStatus) -> bool:
        """Whether a container of this name can be taken as it is, or a run that was cut short left it unfinished.

        One that was started may lack its `post_start` unless it serves, and nothing tells; one that was not may carry
        the labels of an older generation. One that lives off a container that is no more cannot be started.
        """
        if needs(container.service) & self._renewed:
            return False
        if kept.started:
            return not container.service.post_start or kept.name in self._serving
        return _was_made_for(container, kept)

    async def _wait_for_dependencies(self, service: Service) -> None:
        conditions = {name: dependency.condition for name, dependency in service.depends_on.items()}
        for name in self._services.keys() & (conditions.keys() | needs(service)):
            progress = self._progress[name]
            match conditions.get(name, Condition.STARTED):
                case Condition.STARTED:
                    await progress.started.wait()
                case Condition.HEALTHY:
                    await progress.healthy.wait()
                case Condition.COMPLETED:
                    await progress.completed.wait()

    async def _start(self, service: Service) -> None:
        await run_all(*(self._ensure_started(container) for container in self._plan[service.name]))
        self._progress[service.name].started.set()

    async def _ensure_started(self, container: Planned) -> None:
        status = await self._status(container)
        if status.running or status.restarting or (_is_done(status) and _was_made_for(container, status)):
            await self._deployment.journal.say(f"{container.service.name}: unchanged")
            return
        await self._make_way(container, status)
        await self._deployment.permit()
        with self._in_authors_words(container):
            await self._engine.start(container.name)
        await self._deployment.journal.say(f"{container.service.name}: started")
        for hook in container.service.post_start:
            await self._run_hook(container, hook)

    async def _run_hook(self, container: Planned, hook: Hook) -> None:
        command = Command(argv=hook.command, user=hook.user, working_dir=hook.working_dir, environment=hook.environment)
        await self._deployment.permit()
        code = await self._engine.run_command(container.name, command, HOOK_SECONDS)
        if code != 0:
            await require_own_end(self._deployment, container.service.name, await self._status(container))
            ended = f"is not done after {HOOK_SECONDS:g} s" if code is None else f"exited with code {code}"
            raise await self._failure(container, f"has a `post_start` command ({hook.command[0]} …) that {ended}")

    async def _make_way(self, container: Planned, status: ContainerStatus) -> None:
        """Stop whatever this commit has no use for and writes to the same place: no database survives two servers."""
        wanted = {planned.name for containers in self._plan.values() for planned in containers}
        unwanted = [old for name, old in self._present.items() if name not in wanted and old.running]
        in_the_way = [old for old in unwanted if old.volumes & status.volumes]
        if in_the_way:
            for progress in self._progress.values():
                await progress.created.wait()  # what ends after its successor was made is known to have been stopped
        await run_all(*(self._stop(old, container.service.name) for old in in_the_way))

    async def _stop(self, old: ContainerStatus, service: str) -> None:
        """Several may wait for the end of one: it is stopped once."""
        async with self._stopping[old.name]:
            if old.name not in self._stopped:
                await self._run_down(old, service)
                self._stopped.add(old.name)

    async def _run_down(self, old: ContainerStatus, service: str) -> None:
        await self._deployment.permit()
        await self._deployment.journal.say(f"{service}: {old.name} is stopped, for both write to one volume or folder")
        if wrong := await run_pre_stop(self._engine, old):
            await self._deployment.journal.say(f"{service}: {wrong}")
        await self._deployment.permit()
        await self._engine.stop(old.id, None)

    async def _reach(self, service: Service) -> None:
        """Return when its containers are as far as anybody asks, and healthy if they can say so."""
        progress, asked = self._progress[service.name], self._asked.get(service.name, frozenset())
        containers = self._plan[service.name]
        tested = [container for container in containers if container.test is not None]
        if Condition.HEALTHY in asked or Condition.COMPLETED not in asked:
            await run_all(*(self._healthy(container) for container in tested))
        progress.healthy.set()
        if Condition.COMPLETED in asked:
            await run_all(*(self._completed(container) for container in containers))
        progress.completed.set()

    async def _healthy(self, container: Planned) -> None:
        verdict = _Verdict(container)

        async def reached() -> bool:
            if await self._passes(container):
                return True
            if verdict.is_unhealthy():
                raise await self._failure(container, f"is unhealthy: {container.health_times.retries} tests failed")
            return False

        await self._poll(container, reached, "healthy")

    async def _passes(self, container: Planned) -> bool:
        seconds = min(CHECK_SECONDS, container.health_times.timeout)
        if await self._engine.run_check(container.name, container.test or (), seconds) == 0:
            return True
        status = await self._status(container)
        if not status.running and not status.restarting:
            raise await self._died(container, status)
        return False

    async def _completed(self, container: Planned) -> None:
        async def reached() -> bool:
            status = await self._status(container)
            if not status.running and not status.restarting and status.exit_code:
                raise await self._died(container, status)
            return _is_done(status)

        await self._poll(container, reached, "done")

    async def _require_alive(self, service: Service) -> None:
        """What nobody tested must at least not have died meanwhile."""
        for container in self._plan[service.name]:
            status = await self._status(container)
            if not (status.running or status.restarting or _is_done(status) or self._is_optional(service.name)):
                raise await self._died(container, status)

    async def _poll(self, container: Planned, reached: _Reached, what: str) -> None:
        """Ask with growing pauses: the Engine's own next check may be half a minute away.

        A pause is as long as asking took, at least: what starts needs the processors more than its tests do.
        """
        pause, asked_at = FIRST_PAUSE_SECONDS, time.monotonic()
        while not await reached():
            now = time.monotonic()
            if now > self._deadline:
                limit = self._deployment.context.settings.launch_seconds
                raise await self._failure(container, f"was not {what} after {limit:g} s")
            await asyncio.sleep(max(min(LONGEST_PAUSE_SECONDS, pause), now - asked_at))
            pause, asked_at = pause * 1.5, time.monotonic()
        await self._deployment.journal.say(f"{container.service.name}: {what}")

    # What may be wrong with it

    def _require_tests(self) -> None:
        for name, conditions in self._asked.items():
            untested = [container for container in self._plan[name] if container.test is None]
            if Condition.HEALTHY in conditions and untested:
                raise LaunchError(
                    f"{self._services[name].place}: something waits until {name} is healthy, and it has no healthcheck",
                    f"give {name} a `healthcheck:`, or wait for `service_started` only",
                )

    def _is_optional(self, name: str) -> bool:
        """Whether somebody depends on it, and everybody who does can do without (`required: false`)."""
        found = [service.depends_on[name] for service in self._services.values() if name in service.depends_on]
        return bool(found) and not any(dependency.required for dependency in found)

    @contextmanager
    def _in_authors_words(self, container: Planned) -> Iterator[None]:
        """What the Engine says of it names the service's place, and no path of this machine."""
        try:
            yield
        except PreviewdError as error:
            data_dir = self._deployment.context.settings.data_dir
            error.message = without_host_paths(error.message, container.meant, data_dir)
            if isinstance(error, LaunchError):
                raise LaunchError(f"{container.service.place}: {error.message}", error.remedy) from error
            raise

    async def _status(self, container: Planned) -> ContainerStatus:
        status = await self._engine.container(container.name)
        if status is None:
            raise LaunchError(f"the container of {container.service.name} was removed by somebody", "push again")
        return status

    async def _died(self, container: Planned, status: ContainerStatus) -> LaunchError:
        await require_own_end(self._deployment, container.service.name, status)
        if status.oom_killed:
            limit = self._deployment.context.settings.memory_bytes >> 20
            return await self._failure(container, f"ran out of memory: the limit is {limit} MiB")
        return await self._failure(container, f"exited with code {status.exit_code}")

    async def _failure(self, container: Planned, what: str) -> LaunchError:
        lines = await output_tail(self._deployment, container.name)
        return LaunchError(f"service {container.service.name} {what}", log_tail=lines)


class _Verdict:
    """When failing tests mean unhealthy: `retries` in a row, and not before the Engine itself would say so.

    We test more often than it does, so its number alone would be reached too soon. Every test may take its whole
    timeout there, and comes its interval after the last; those of the start period do not count.
    """

    def __init__(self, container: Planned) -> None:
        times = container.health_times
        seconds = times.start_period + times.retries * (times.interval + times.timeout)
        self._not_before = time.monotonic() + seconds
        self._left = times.retries

    def is_unhealthy(self) -> bool:
        """To be asked after each test that failed; one that passes ends it all."""
        self._left -= 1
        return self._left <= 0 and time.monotonic() >= self._not_before


def _asked(services: Mapping[str, Service]) -> Mapping[str, frozenset[Condition]]:
    """By service: what others wait for."""
    found: dict[str, set[Condition]] = {}
    for service in services.values():
        for name, dependency in service.depends_on.items():
            if name in services:
                found.setdefault(name, set()).add(dependency.condition)
    return {name: frozenset(conditions) for name, conditions in found.items()}


def _was_made_for(container: Planned, status: ContainerStatus) -> bool:
    """Whether this very deployment made it, perhaps in a run that was cut short: the generation is among its labels."""
    return container.around.labels.items() <= status.labels.items()


def _is_done(status: ContainerStatus) -> bool:
    return status.started and not status.running and not status.restarting and status.exit_code == 0
