"""A Docker Engine in memory, for the tests of steps. The contract suite holds it to what the real one does.

It runs no programs. What a container's command does stands in `programs`, what a health test answers in `checks`;
a command that nobody described runs for ever without a word.
"""

import asyncio
import contextlib
import ipaddress
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.ports.engine import BuildRequest, Command, ContainerStatus, EngineEvent, EngineObject, Image, Log
from orchestrator.ports.sources import BuildContext
from orchestrator.preview.errors import BuildError, ImageMissing, LaunchError, OperatorError, TemporaryError

Before = Callable[[str, tuple[object, ...]], Awaitable[None]]
"""Called before each call takes effect, with its name and arguments. May wait, raise, or be cancelled."""


Stage = Callable[[str, Callable[[], None]], Awaitable[None]]
"""Called for each stage of a call that has several, with its name and what it does. May do it, and then not return."""


async def _nothing(name: str, arguments: tuple[object, ...]) -> None:
    """Let the call go on."""


async def at_once(name: str, act: Callable[[], None]) -> None:
    """The stage takes place."""
    act()


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What a container's command does, as soon as it is started."""

    lines: tuple[str, ...] = ()
    exit_code: int | None = None
    """None for one that runs until it is stopped."""
    error: str = ""
    """Why it cannot even start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a build of one Dockerfile does."""

    lines: tuple[str, ...] = ()
    error: str = ""
    seconds: float = 0
    exposed_ports: tuple[int, ...] = ()
    healthcheck: tuple[str, ...] | None = None
    volumes: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Image:
    image: Image
    labels: dict[str, str]
    tags: set[str]


@dataclass(slots=True, kw_only=True)
class _Network:
    id: str
    name: str
    subnet: ipaddress.IPv4Network
    labels: dict[str, str]
    internal: bool
    addresses: "itertools.count[int]" = field(default_factory=lambda: itertools.count(2))


@dataclass(slots=True, kw_only=True)
class _Container:
    id: str
    name: str
    body: Mapping[str, Any]
    image: str
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    connected: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Networks that it was connected to after it was created, with its aliases there."""
    running: bool = False
    started: bool = False
    exit_code: int | None = None
    oom_killed: bool = False
    lines: list[str] = field(default_factory=list)
    anonymous: dict[str, dict[str, str]] = field(default_factory=dict)
    """The volumes that were made with it and have no name of their own, with their labels."""
    addresses: dict[str, str] = field(default_factory=dict)

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.body.get("Labels") or {})

    @property
    def command(self) -> tuple[str, ...]:
        return (*(self.body.get("Entrypoint") or ()), *(self.body.get("Cmd") or ()))

    @property
    def networks(self) -> tuple[str, ...]:
        return (*((self.body.get("NetworkingConfig") or {}).get("EndpointsConfig") or ()), *self.connected)


class FakeEngine:
    """See the module's text. Every attribute without an underscore may be set by a test."""

    def __init__(self) -> None:
        self.before: Before = _nothing
        self.stage: Stage = at_once
        self.calls: list[tuple[str, tuple[object, ...]]] = []
        self.programs: dict[tuple[str, ...], Program] = {}
        self.checks: dict[tuple[str, ...], int | None] = {}
        """Exit code of a health test; None for one that takes for ever. 0 for one that is not here."""
        self.recipes: dict[str, Recipe] = {}
        """By the Dockerfile's name."""
        self.registry: dict[str, Image] = {}
        """What can be pulled."""
        self.contexts: dict[str, BuildContext] = {}
        """The context that was last given for each tag."""
        self.built: list[BuildRequest] = []
        """Every image that was built, in the order in which builds ended."""
        self.building: list[str] = []
        """What is being built, by its tag."""
        self.foreign_subnets: list[ipaddress.IPv4Network] = []
        self.build_cache = 0
        """How many octets of it builds have left."""
        self._ids = itertools.count(1)
        self._images: list[_Image] = []
        self._networks: dict[str, _Network] = {}
        self._volumes: dict[str, dict[str, str]] = {}
        self._containers: dict[str, _Container] = {}
        self._listeners: list[asyncio.Queue[EngineEvent | None]] = []

    def client(self, stage: Stage) -> "FakeEngine":
        """Another client of the same Engine, whose calls pass their stages by themselves."""
        other = copy(self)
        other.stage = stage
        return other

    def answers(self, address: str) -> bool:
        """Whether a running container has this address."""
        return any(found.running and address in found.addresses.values() for found in self._containers.values())

    def add_image(self, reference: str, exposed_ports: tuple[int, ...] = (), volumes: tuple[str, ...] = ()) -> Image:
        """Have an image as if it had been pulled long ago."""
        image = Image(id=self._id("sha256:"), exposed_ports=exposed_ports, volumes=volumes)
        self._tag(reference, image, {})
        return image

    def exit(self, container: str, code: int, *lines: str, oom: bool = False) -> None:
        """Let a container print its last lines and end by itself."""
        found = self._existing(container)
        found.lines += lines
        found.running, found.exit_code, found.finished_at, found.oom_killed = False, code, self._now(), oom
        self._tell("die", found)

    def restart(self) -> None:
        """What a restart of the Engine does: everything has ended, and nobody hears from it any more."""
        for container in self._containers.values():
            if container.running:
                container.running, container.exit_code, container.finished_at = False, 137, self._now()
        for listener in self._listeners:
            listener.put_nowait(None)

    @contextlib.asynccontextmanager
    async def events(self, labels: Mapping[str, str]) -> AsyncIterator[AsyncIterator[EngineEvent]]:
        listener: asyncio.Queue[EngineEvent | None] = asyncio.Queue()
        self._listeners.append(listener)
        try:
            yield self._heard(listener, labels)
        finally:
            self._listeners.remove(listener)

    async def _heard(
        self, listener: "asyncio.Queue[EngineEvent | None]", labels: Mapping[str, str]
    ) -> AsyncIterator[EngineEvent]:
        while (event := await listener.get()) is not None:
            if labels.items() <= event.labels.items():
                yield event

    def _tell(self, action: str, container: _Container) -> None:
        event = EngineEvent(action=action, container=container.name, labels=container.labels)
        for listener in self._listeners:
            listener.put_nowait(event)

    def lose_containers(self) -> None:
        """What an Engine that is killed may do: the containers are gone, and what they had is not."""
        self._containers.clear()

    def body_of(self, container: str) -> Mapping[str, Any]:
        """The request that a container was made from."""
        return self._existing(container).body

    async def ping(self) -> None:
        await self._called("ping")

    async def gateway(self) -> str:
        await self._called("gateway")
        return "172.17.0.1"

    async def root(self) -> str:
        await self._called("root")
        return "/var/lib/docker"

    async def build(self, request: BuildRequest, context: BuildContext, log: Log) -> str:
        await self._called("build", request)
        self.contexts[request.tag] = context
        recipe = self.recipes.get(request.dockerfile_name, Recipe())
        image = Image(
            id=self._id("sha256:"),
            exposed_ports=recipe.exposed_ports,
            healthcheck=recipe.healthcheck,
            volumes=recipe.volumes,
        )
        try:
            await self.stage("begin to build", lambda: self.building.append(request.tag))
            for number, line in enumerate(recipe.lines, start=1):
                await log(f"#{number} {line}")
            await asyncio.sleep(recipe.seconds)
            if recipe.error:
                raise BuildError(recipe.error, log_tail=recipe.lines)
            await self.stage("tag", lambda: self._tag(request.tag, image, dict(request.labels)))
        finally:
            self.building.remove(request.tag) if request.tag in self.building else None
        self.built.append(request)
        return image.id

    async def image(self, reference: str) -> Image | None:
        await self._called("image", reference)
        found = self._find_image(reference)
        return found.image if found else None

    async def pull(self, reference: str, log: Log) -> Image:
        await self._called("pull", reference)
        if reference not in self.registry:
            raise ImageMissing(f"the image {reference} cannot be pulled: not found", "Check the image's name and tag.")
        await log("Pull complete")
        self._tag(reference, self.registry[reference], {})
        return self.registry[reference]

    async def remove_image(self, reference: str) -> None:
        await self._called("remove_image", reference)
        found = self._find_image(reference)
        if found is None:
            return
        if any(container.image == found.image.id for container in self._containers.values()):
            raise TemporaryError(f"a container uses the image {reference}")
        found.tags.discard(reference)
        if not found.tags or reference == found.image.id:
            self._images.remove(found)

    async def limit_build_cache(self, octets: int) -> None:
        await self._called("limit_build_cache", octets)

    async def build_cache_bytes(self) -> int:
        await self._called("build_cache_bytes")
        return self.build_cache

    async def subnets(self) -> list[ipaddress.IPv4Network]:
        await self._called("subnets")
        return [network.subnet for network in self._networks.values()]

    async def ensure_network(
        self, name: str, subnet: ipaddress.IPv4Network, labels: Mapping[str, str], *, internal: bool = False
    ) -> bool:
        await self._called("ensure_network", name, subnet, labels, internal)
        if name in self._networks:
            _check_owner(name, self._networks[name].labels, labels)
            return True
        taken = [*self.foreign_subnets, *(network.subnet for network in self._networks.values())]
        if any(subnet.overlaps(other) for other in taken):
            return False
        self._networks[name] = _Network(
            id=self._id("net"), name=name, subnet=subnet, labels=dict(labels), internal=internal
        )
        return True

    async def connect(self, network: str, container: str, aliases: Sequence[str], links: Sequence[str] = ()) -> None:
        await self._called("connect", network, container, aliases, links)
        found = self._existing(container)
        if network not in found.networks:
            found.connected[network] = tuple(aliases)
            if found.running:
                found.addresses[network] = self._address(network)

    async def remove_network(self, name: str) -> None:
        await self._called("remove_network", name)
        for found in [network for network in self._networks.values() if name in {network.name, network.id}]:
            del self._networks[found.name]
            for container in self._containers.values():
                container.addresses.pop(found.name, None)
                container.connected.pop(found.name, None)

    async def ensure_volume(self, name: str, labels: Mapping[str, str]) -> None:
        await self._called("ensure_volume", name, labels)
        _check_owner(name, self._volumes.setdefault(name, dict(labels)), labels)

    async def remove_volume(self, name: str) -> None:
        await self._called("remove_volume", name)
        users = [found.name for found in self._containers.values() if name in {*_volumes(found.body), *found.anonymous}]
        if name in self._volumes and users:
            raise TemporaryError(f"volume {name} is in use by {users}")
        self._volumes.pop(name, None)

    async def create_container(self, name: str, body: Mapping[str, Any]) -> str:
        await self._called("create_container", name, body)
        existing = self._container(name)
        if existing is not None:
            _check_owner(name, existing.labels, body.get("Labels") or {})
            return existing.id
        image = self._find_image(body["Image"])
        if image is None:
            raise TemporaryError(f"No such image: {body['Image']}")
        container = _Container(id=self._id("c"), name=name, body=body, image=image.image.id, created_at=self._now())
        container.anonymous = {self._id("v"): labels for labels in _anonymous(body, image.image)}
        self._volumes |= container.anonymous
        self._containers[name] = container
        return container.id

    async def start(self, container: str) -> None:
        await self._called("start", container)
        found = self._existing(container)
        if found.running:
            return
        if missing := [network for network in found.networks if network not in self._networks]:
            raise TemporaryError(f"network {missing[0]} not found")
        program = self.programs.get(found.command, Program())
        if program.error:
            raise LaunchError(f"the container does not start: {program.error}")
        found.started, found.running = True, program.exit_code is None
        found.exit_code, found.oom_killed = program.exit_code, False
        found.started_at = self._now()
        if not found.running:
            found.finished_at = self._now()
            self._tell("die", found)
        found.lines += program.lines
        found.addresses = {name: self._address(name) for name in found.networks}

    async def stop(self, container: str, grace_seconds: int | None) -> None:
        await self._called("stop", container, grace_seconds)
        found = self._container(container)
        if found is not None and found.running:
            found.running, found.exit_code, found.addresses = False, 137, {}
            found.finished_at = self._now()
            self._tell("die", found)

    async def remove_container(self, container: str) -> None:
        await self._called("remove_container", container)
        found = self._container(container)
        if found is not None:
            del self._containers[found.name]
            for volume in found.anonymous:
                self._volumes.pop(volume, None)
            self._tell("destroy", found)

    async def container(self, container: str) -> ContainerStatus | None:
        await self._called("container", container)
        found = self._container(container)
        return _status(found) if found else None

    async def run_check(self, container: str, test: tuple[str, ...], seconds: float) -> int | None:
        await self._called("run_check", container, test, seconds)
        found = self._container(container)
        return self.checks.get(test, 0) if found is not None and found.running else 1

    async def run_command(self, container: str, command: Command, seconds: float) -> int | None:
        await self._called("run_command", container, command, seconds)
        found = self._container(container)
        return self.checks.get(("CMD", *command.argv), 0) if found is not None and found.running else 1

    async def logs(self, container: str, tail: int) -> tuple[str, ...]:
        await self._called("logs", container, tail)
        found = self._container(container)
        return tuple(found.lines[-tail:]) if found and tail else ()

    async def containers(self, labels: Mapping[str, str]) -> list[ContainerStatus]:
        await self._called("containers", labels)
        return [_status(found) for found in self._containers.values() if labels.items() <= found.labels.items()]

    async def objects(self, labels: Mapping[str, str]) -> list[EngineObject]:
        await self._called("objects", labels)
        every = [
            *(("container", c.id, c.name, c.labels) for c in self._containers.values()),
            *(("network", n.id, n.name, n.labels) for n in self._networks.values()),
            *(("volume", name, name, carried) for name, carried in self._volumes.items()),
            *(("image", i.image.id, name, i.labels) for i in self._images for name in sorted(i.tags) or [i.image.id]),
        ]
        return [
            EngineObject(kind=kind, id=id_, name=name, labels=carried)
            for kind, id_, name, carried in every
            if labels.items() <= carried.items()
        ]

    async def _called(self, name: str, *arguments: object) -> None:
        self.calls.append((name, arguments))
        await self.before(name, arguments)

    def _address(self, network: str) -> str:
        found = self._networks[network]
        return str(found.subnet[next(found.addresses)])

    def _now(self) -> datetime:
        """A clock of its own, on which no two things happen at once."""
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=next(self._ids))

    def _id(self, prefix: str) -> str:
        return f"{prefix}{next(self._ids):012x}"

    def _tag(self, reference: str, image: Image, labels: dict[str, str]) -> None:
        for other in self._images:
            other.tags.discard(reference)
        self._images.append(_Image(image=image, labels=labels, tags={reference}))

    def _find_image(self, reference: str) -> _Image | None:
        matching = (found for found in self._images if reference == found.image.id or reference in found.tags)
        return next(matching, None)

    def _container(self, container: str) -> _Container | None:
        matching = (found for found in self._containers.values() if container in {found.id, found.name})
        return next(matching, None)

    def _existing(self, container: str) -> _Container:
        found = self._container(container)
        if found is None:
            raise TemporaryError(f"No such container: {container}")
        return found


def _check_owner(name: str, found: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    if not wanted.items() <= found.items():
        raise OperatorError(f"{name} exists, and is not the one that this preview would make")


def _volumes(body: Mapping[str, Any], *, writable: bool = False) -> set[str]:
    """The named volumes and bound paths that a container mounts; only those that it may write to, if asked."""
    mounts = (body.get("HostConfig") or {}).get("Mounts") or ()
    named = (mount for mount in mounts if mount["Type"] in {"volume", "bind"} and "Source" in mount)
    return {mount["Source"] for mount in named if not (writable and mount.get("ReadOnly"))}


def _binds(body: Mapping[str, Any]) -> set[str]:
    mounts = (body.get("HostConfig") or {}).get("Mounts") or ()
    return {mount["Source"] for mount in mounts if mount["Type"] == "bind"}


def _anonymous(body: Mapping[str, Any], image: Image) -> list[dict[str, str]]:
    """Of each volume without a name the labels: those that are asked for, and the image's where nothing is mounted."""
    host = body.get("HostConfig") or {}
    mounts = host.get("Mounts") or ()
    asked = [mount for mount in mounts if mount["Type"] == "volume" and "Source" not in mount]
    covered = {*(mount["Target"] for mount in mounts), *(host.get("Tmpfs") or ())}
    own: list[dict[str, str]] = [{} for path in image.volumes if path not in covered]
    return [*(dict(mount.get("VolumeOptions", {}).get("Labels", {})) for mount in asked), *own]


def _status(container: _Container) -> ContainerStatus:
    return ContainerStatus(
        id=container.id,
        name=container.name,
        labels=container.labels,
        image=container.image,
        running=container.running,
        exit_code=None if container.running else container.exit_code,
        started=container.started,
        oom_killed=container.oom_killed,
        addresses=dict(container.addresses) if container.running else {},
        networks=frozenset(container.networks),
        volumes=frozenset({*_volumes(container.body, writable=True), *container.anonymous}),
        binds=frozenset(_binds(container.body)),
        created_at=container.created_at,
        started_at=container.started_at,
        finished_at=container.finished_at,
    )
