"""The typed form of a Compose file: what `stack.read` returns and everything after it works on. Values only, no I/O.

Durations are seconds, sizes are bytes, paths are relative to the repository's root with `/` and without `.` or `..`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.codebase.python.packages import Driver
from orchestrator.preview.errors import Place

COMMIT_VARIABLES = frozenset({"GIT_SHA", "PREVIEW_SHA"})
"""An image whose tag is built from one of these is this commit's: it is built here, not pulled."""


class Condition(StrEnum):
    """What a service waits for before it starts; the values are Compose's own words."""

    STARTED = "service_started"
    HEALTHY = "service_healthy"
    COMPLETED = "service_completed_successfully"


class MountKind(StrEnum):
    """Where a mount's files come from."""

    VOLUME = "volume"
    ANONYMOUS = "anonymous"
    BIND = "bind"
    TMPFS = "tmpfs"


class DatabaseMode(StrEnum):
    """Who gives the preview its database: previewd, the stack's own container, or nobody."""

    MANAGED = "managed"
    CONTAINER = "container"
    NONE = "none"


class Template(StrEnum):
    """What a new preview's database holds at first."""

    EMPTY = "empty"
    SEEDED = "seeded"


class Reset(StrEnum):
    """When a push gives the preview a fresh database."""

    NEVER = "never"
    ALWAYS = "always"
    ON_FORCE_PUSH = "on-force-push"
    ON_MIGRATION_CHANGE = "on-migration-change"


class CommitImage(StrEnum):
    """What becomes of an image that is named by the commit: built here, or pulled as soon as the CI has pushed it."""

    BUILD = "build"
    PULL = "pull"


class Encoding(StrEnum):
    """How a list variable is written: `a,b` or `["a","b"]`."""

    CSV = "csv"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMount:
    """A secret or a config: one read-only file in a container, or in a build. Exactly one of its sources is set."""

    name: str
    """As the top level of the Compose file calls it."""
    target: str
    """The path in the container; of a build's secret the id that its Dockerfile asks for."""
    path: str | None = None
    """The file in the repository that holds the content."""
    content: str | None = None
    """The content itself, written in the Compose file or taken from a variable."""
    uid: int | None = None
    gid: int | None = None
    mode: int | None = None
    """Permission bits. None is Compose's own: readable by everyone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ulimit:
    """A limit on one resource of a container's processes."""

    soft: int
    hard: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """How an image is made from the repository."""

    context: str = "."
    dockerfile: str = "Dockerfile"
    """Relative to the context. It may lie outside of it, but in the repository."""
    dockerfile_inline: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    platform: str | None = None
    no_cache: bool = False
    no_cache_filter: tuple[str, ...] = ()
    """The stages that are built afresh each time."""
    pull: bool = False
    shm_size: int | None = None
    ulimits: Mapping[str, Ulimit] = field(default_factory=dict)
    additional_contexts: Mapping[str, str] = field(default_factory=dict)
    """Name to a folder of the repository, or to `service:NAME`."""
    secrets: tuple[FileMount, ...] = ()
    network: str | None = None
    """`none`, or nothing said."""
    cache_from: tuple[str, ...] = ()
    """Images of registries whose cache may be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port of the container. What the file publishes it as is only a hint: previewd publishes nothing."""

    target: int
    published: str | None = None
    protocol: str = "tcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """An edge of `depends_on`."""

    condition: Condition = Condition.STARTED
    required: bool = True
    restart: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck:
    """A container's own test. `test` starts with CMD, CMD-SHELL or NONE; empty means the image's own test."""

    test: tuple[str, ...] = ()
    interval: float | None = None
    timeout: float | None = None
    retries: int | None = None
    start_period: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """Something mounted into a container."""

    kind: MountKind
    target: str
    source: str = ""
    """A volume's name, or a bind's path in the repository; empty for the other kinds."""
    read_only: bool = False
    size: int | None = None
    """Of a tmpfs, in bytes."""
    mode: int | None = None
    """Permission bits of a tmpfs."""
    no_copy: bool = False
    """Whether a new volume stays empty, instead of taking what the image holds at the target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumesFrom:
    """All mounts of another service of the stack, mounted here too."""

    service: str
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A command that runs inside the container, after it has started or before it is stopped."""

    command: tuple[str, ...]
    user: str | None = None
    working_dir: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One network of the stack."""

    internal: bool = False
    """Whether it leads nowhere but to its own services."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What the file itself asks its container to be limited to; previewd takes the lower of this and its own."""

    memory: int | None = None
    cpus: float | None = None
    pids: int | None = None
    places: Mapping[str, Place] = field(default_factory=dict)
    """Where each of them stands; one that has a place and no value asks for no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service, complete: every key of the file that previewd acts on has a field here."""

    name: str
    place: Place
    image: str | None = None
    build: Build | None = None
    """Set also where the image is named by the commit, or is another service's built image."""
    awaited: bool = False
    """Whether its image is this commit's and pulled: the repository's CI may not have pushed it yet."""
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By environment name: the variables that the file builds its value from."""
    unset: frozenset[str] = frozenset()
    """Environment names that the file leaves to the outside and that nobody sets."""
    environment_places: Mapping[str, Place] = field(default_factory=dict)
    ports: tuple[Port, ...] = ()
    expose: tuple[int, ...] = ()
    depends_on: Mapping[str, Dependency] = field(default_factory=dict)
    healthcheck: Healthcheck | None = None
    volumes: tuple[Mount, ...] = ()
    tmpfs: Mapping[str, str] = field(default_factory=dict)
    """Target to options, as the Engine takes them."""
    networks: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"default": ()})
    """Network to the aliases in it. Empty means no network of its own: none at all, or `network_service`'s."""
    network_service: str | None = None
    """The service whose network it shares (`network_mode: service:NAME`)."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Alias to service: further names that resolve in this container only."""
    replicas: int = 1
    """How many containers of it run; 0 means that it is declared and not started."""
    secrets: tuple[FileMount, ...] = ()
    configs: tuple[FileMount, ...] = ()
    volumes_from: tuple[VolumesFrom, ...] = ()
    ulimits: Mapping[str, Ulimit] = field(default_factory=dict)
    post_start: tuple[Hook, ...] = ()
    pre_stop: tuple[Hook, ...] = ()
    profiles: frozenset[str] = frozenset()
    limit: Limit = Limit()
    working_dir: str | None = None
    user: str | None = None
    init: bool | None = None
    stop_signal: str | None = None
    stop_grace_period: float | None = None
    read_only: bool = False
    hostname: str | None = None
    restart: str = "no"
    platform: str | None = None
    tty: bool = False
    stdin_open: bool = False
    shm_size: int | None = None
    cap_drop: tuple[str, ...] = ()
    extra_hosts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def from_repository(self) -> bool:
        """Whether its image is made of this commit, here or by the repository's CI."""
        return self.build is not None or self.awaited


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseBlock:
    """`x-preview.database`. None means that the file does not say: find it out, or take the usual."""

    mode: DatabaseMode = DatabaseMode.MANAGED
    service: str | None = None
    driver: Driver | None = None
    template: Template | None = None
    reset: Reset | None = None
    migrations: str | None = None
    scrub: str | None = None
    """A file of SQL that the base branch's template is run through before it is copied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewBlock:
    """`x-preview`: what the repository tells previewd beside the Compose language. None means: find it out."""

    service: str | None = None
    port: int | None = None
    health: str | None = None
    database: DatabaseBlock = DatabaseBlock()
    encode: Mapping[str, Encoding] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    image: CommitImage = CommitImage.BUILD
    ttl: float | None = None
    sleep: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A Compose file, read. `services` holds those that start, in the order of the file."""

    path: str
    services: Mapping[str, Service]
    networks: Mapping[str, Network] = field(default_factory=dict)
    """Those that a service joins."""
    volumes: tuple[str, ...] = ()
    preview: PreviewBlock = PreviewBlock()
    warnings: tuple[str, ...] = ()
    """What is missing and may break the application."""
    notes: tuple[str, ...] = ()
    """What previewd does differently from Compose, on purpose."""
