"""The Docker Engine, as the worker needs it."""

import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from orchestrator.ports.sources import BuildContext

Log = Callable[[str], Awaitable[None]]
"""Takes one line of output as soon as it is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStatus:
    """What the Engine says about one container."""

    id: str
    name: str
    labels: Mapping[str, str]
    image: str
    """The id of the image that it was made from."""
    running: bool
    exit_code: int | None
    """None while it runs and before it ever ran."""
    started: bool
    """Whether it was ever started."""
    restarting: bool = False
    """It ended, and the Engine is about to start it again."""
    oom_killed: bool = False
    addresses: Mapping[str, str] = field(default_factory=dict)
    """Its address in each network, by the network's name, while it runs."""
    networks: frozenset[str] = frozenset()
    """Every network that it is connected to, running or not, by name."""
    volumes: frozenset[str] = frozenset()
    """What it may write to beside itself: volumes by name, bound files and folders by their path on the host."""
    binds: frozenset[str] = frozenset()
    """Every file and folder of the host that is mounted in it, also where it may only read."""
    created_at: datetime
    started_at: datetime | None = None
    """When it was last started, by the Engine's clock; None before that."""
    finished_at: datetime | None = None
    """When it last ended, by the Engine's clock; None before that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthTimes:
    """When a health test is run and what is made of it, in seconds; the defaults are the Engine's own."""

    interval: float = 30.0
    timeout: float = 30.0
    retries: int = 3
    start_period: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    id: str
    exposed_ports: tuple[int, ...]
    """TCP ports of the image's EXPOSE lines, lowest first."""
    healthcheck: tuple[str, ...] | None = None
    """The test of the image's own HEALTHCHECK in the Engine's form (`CMD`, `CMD-SHELL` first), if it has one."""
    health_times: HealthTimes = HealthTimes()
    on_build: tuple[str, ...] = ()
    """The instructions that its ONBUILD lines add to whatever is built on it."""
    volumes: tuple[str, ...] = ()
    """The paths of its VOLUME lines, sorted: each container of it has a volume there that has no name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """One image to build. The context is given beside it."""

    tag: str
    dockerfile: bytes
    """The text that is built, wherever it came from."""
    dockerfile_name: str = "Dockerfile"
    """What people know it by: its path in the repository."""
    target: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """What `RUN --mount=type=secret,id=NAME` reads."""
    certificates: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """What is mounted as secrets are, before a secret of the same name, and may be read by anybody."""
    platform: str | None = None
    network: str | None = None
    """`none`, or the Engine's default."""
    no_cache: bool = False
    cache_from: tuple[str, ...] = ()
    shm_size: int | None = None
    """Of the build's `/dev/shm`, in bytes."""
    ulimits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Soft and hard limit by name."""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineObject:
    """A labelled thing on the Engine: what the leak report lists and the sweep removes."""

    kind: str
    """`container`, `network`, `volume` or `image`."""
    id: str
    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineEvent:
    """Something happened to a container: it ended (`die`), or was removed (`destroy`)."""

    action: str
    container: str
    """Its name."""
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program to run inside of a running container; as its own user and in its own directory, if nothing is said."""

    argv: tuple[str, ...]
    user: str | None = None
    working_dir: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


class Engine(Protocol):
    """A Docker Engine, API 1.41 or newer."""

    async def ping(self) -> None:
        """Return when it answers, within a few seconds. Raises Unavailable, also for one that hangs."""

    async def gateway(self) -> str:
        """The host's address on the default bridge: where containers reach a server that runs on the host."""

    async def root(self) -> str:
        """The folder on the Engine's own machine where it keeps images, containers and volumes."""

    async def build(self, request: BuildRequest, context: BuildContext, log: Log) -> str:
        """Build with BuildKit and return the image's id. Cancelling the call stops the build. Raises BuildError."""

    async def image(self, reference: str) -> Image | None: ...
    async def pull(self, reference: str, log: Log) -> Image:
        """Pull from a registry. Raises LaunchError when the image cannot be had, ImageMissing when there is none."""

    async def remove_image(self, reference: str) -> None:
        """Take a name from an image, and remove it with its last one; by its id with all of its names."""

    async def limit_build_cache(self, octets: int) -> None:
        """Remove the oldest of what builds left, whoever built, until it is no more than this."""

    async def build_cache_bytes(self) -> int:
        """How much builds have left, whoever built. The Engine measures it, which may take it a minute."""

    async def subnets(self) -> list[ipaddress.IPv4Network]:
        """Every subnet that a network of the Engine has: what is taken, as far as the Engine knows."""

    async def ensure_network(
        self, name: str, subnet: ipaddress.IPv4Network, labels: Mapping[str, str], *, internal: bool = False
    ) -> bool:
        """Make a bridge network with this subnet. False when something else on the host uses that subnet.

        From an `internal` one no container reaches anything outside.
        """

    async def connect(self, network: str, container: str, aliases: Sequence[str], links: Sequence[str] = ()) -> None:
        """Put a container into one more network; nothing when it is in it. `links` are `container:alias`."""

    async def remove_network(self, name: str) -> None: ...
    async def ensure_volume(self, name: str, labels: Mapping[str, str]) -> None: ...
    async def remove_volume(self, name: str) -> None: ...

    async def create_container(self, name: str, body: Mapping[str, Any]) -> str:
        """Create from the Engine API's own body and return the id; one of that name with these labels is adopted.

        Raises LaunchError for a value that the Engine does not take.
        """

    async def start(self, container: str) -> None:
        """Start it, also again. Raises LaunchError when what its author asked for cannot be run."""

    async def stop(self, container: str, grace_seconds: int | None) -> None:
        """Ask it to end, and kill it after `grace_seconds`; None is what it was created with."""

    async def remove_container(self, container: str) -> None:
        """Kill and remove it, with its anonymous volumes."""

    async def container(self, container: str) -> ContainerStatus | None: ...
    async def run_check(self, container: str, test: tuple[str, ...], seconds: float) -> int | None:
        """Run a health test (`CMD …` or `CMD-SHELL …`) inside; its exit code, or None after `seconds`."""

    async def run_command(self, container: str, command: Command, seconds: float) -> int | None:
        """Run a command inside; its exit code, 1 when the container does not run, or None after `seconds`."""

    async def logs(self, container: str, tail: int) -> tuple[str, ...]:
        """The last lines that it printed, oldest first."""

    async def containers(self, labels: Mapping[str, str]) -> list[ContainerStatus]:
        """Every container, running or not, that carries all of these labels."""

    async def objects(self, labels: Mapping[str, str]) -> list[EngineObject]:
        """Every container, network, volume and image that carries all of these labels; an image by each of its names.

        An image without a name, left by one that took it, is called by its id.
        """

    def events(self, labels: Mapping[str, str]) -> AbstractAsyncContextManager[AsyncIterator[EngineEvent]]:
        """Hear from now on when a container that carries all of these labels ends or is removed.

        The iteration goes on until the Engine goes away: it then ends, or raises Unavailable.
        """
