"""What the worker needs of the outside world. A Protocol stands here only where a real thing and a fake both exist.

Every method may raise Unavailable when the other side does not answer, TemporaryError for a fault that may pass, and
OperatorError when it refuses us.
Methods called `ensure_*` may be called again at any time; `remove_*` of what is not there does nothing.
"""

import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any, Protocol

from orchestrator.compose.database.servers import ServerFacts
from orchestrator.databases import Budget, Policed, Template
from orchestrator.environments import ForgeDeployment
from orchestrator.policy import Pull

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
class ContextEntry:
    """One file, folder or link of a build's context."""

    path: str
    """Relative to the context's root, with `/` between its parts."""
    mode: int
    """As `stat` gives it, kind included; permissions are 0644, 0755, or 0777 for a link."""
    size: int = 0
    """Of a regular file, in bytes."""
    link: str = ""
    """Where a symbolic link leads, as it was written."""
    blob: str = ""
    """The git object that holds the content of a regular file."""


class BuildContext(Protocol):
    """What a Dockerfile may copy: a folder of one commit, less what its `.dockerignore` names."""

    @property
    def entries(self) -> Sequence[ContextEntry]:
        """All of it, in the order of a walk: a folder before what lies in it, names of one folder by their octets."""

    @property
    def digest(self) -> str:
        """Of every path, mode and content: the same for equal contexts, whatever commit they come from."""

    @property
    def modified(self) -> int:
        """The time that every entry carries, in seconds since 1970. It says nothing of the content."""

    def reading(self) -> AbstractAsyncContextManager[Callable[[ContextEntry], AsyncIterator[bytes]]]:
        """Opens the context for one reader, who takes the files one after the other, each in chunks."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseAccess:
    """How a preview's containers reach its database."""

    host: str
    port: int
    database: str
    role: str
    password: str = field(repr=False)


class Databases(Protocol):
    """The Postgres server on which previews have their databases. Names are those of `orchestrator.names`.

    Each method may be called again after being killed at any point. Methods that make or change a database are called
    by one worker at a time for each preview; of two that make the same one, the second raises TemporaryError.
    """

    async def ping(self) -> None:
        """Return when it lets us in and answers. Raises Unavailable."""

    def access(self, name: str, password: str) -> DatabaseAccess:
        """How containers reach the database of this name, whether or not it exists yet."""

    async def ensure(
        self, name: str, password: str, *, source: str | None = None, extensions: Collection[str] = ()
    ) -> DatabaseAccess:
        """A database and a role of this name, for a preview or for a template that is to be filled.

        Only that role can connect; it may create what it likes inside, and nothing else. What exists keeps its data; a
        new one is a copy of `source` (a template or a snapshot), or empty but for those of `extensions` that only a
        superuser can install. Raises NoConnectionsLeft, and DatabaseFull for one that is shut.
        """

    async def reset(self, name: str, *, source: str | None = None, extensions: Collection[str] = ()) -> None:
        """Put a new database, made as by `ensure`, in the place of this one. Its sessions end; its role stays."""

    async def snapshot(self, name: str, snapshot: str) -> None:
        """Have a copy of the database as it is. Its sessions end, and none begins until the copy is made.

        A snapshot that exists already is kept as it is.
        """

    async def restore(self, name: str, snapshot: str) -> None:
        """Put the snapshot in the place of the database: its sessions end, and the snapshot is used up.

        Nothing happens when there is no such snapshot any more: that is how it looks after a restore.
        """

    async def finish_template(self, name: str, made_of: Mapping[str, str]) -> None:
        """Close the template for good: from now on it is only copied. `made_of` comes back from `templates`.

        Every tenant of the server can read `made_of`: it holds hashes and revisions, no names and no addresses.
        """

    async def stock(self, template: str) -> None:
        """Have a spare copy of a finished template ready: the next `ensure` from it then renames instead of copying.

        It takes as long and as much disk as a copy does, so it is called when nobody waits, by one at a time.
        """

    async def templates(self) -> list[Template]:
        """Every template of this instance, finished or not."""

    async def remove(self, name: str) -> None:
        """Drop this database, ending whatever sessions are left; a preview's with its snapshots and its role."""

    async def names(self) -> list[str]:
        """Databases and roles of this instance's previews, snapshots included, each name once."""

    async def police(self) -> Policed:
        """One round of the watchdog: end sessions that last too long, and hold databases to their size."""

    async def revisions(self, name: str, password: str) -> frozenset[str] | None:
        """The Alembic revisions that the database is at, asked as its own role: none where none was ever applied.

        None when the answer cannot be had, as from a database that is closed or has no connection left. It comes from
        a stranger's table: it says something about that stranger's database only.
        """

    async def run_script(self, name: str, password: str, script: str) -> None:
        """Run SQL in the database as its own role, in one transaction. Raises ScriptError with the server's words."""

    async def dump(self, name: str, password: str, output: IO[bytes]) -> None:
        """Write a dump of the database in the form of pg_dump, taken as its own role. Raises OperatorError."""

    async def budget(self) -> Budget:
        """The server's connections: what it has, what is promised, what is in use."""

    async def facts(self) -> ServerFacts:
        """The server's version, and the extensions that previews can have in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A branch of a repository, as it is now."""

    repository_name: str
    """`owner/name`, today: it may be renamed."""
    clone_url: str
    name: str
    commit: str


class Forge(Protocol):
    """GitHub, as far as previewd needs it. Every method may raise ForgeUnavailable."""

    async def fault(self) -> str:
        """What is wrong with it, as its last answer says, or nothing. It is not asked while all is well."""

    async def pull(self, repository: int, number: int) -> Pull | None:
        """None when the pull request, or our access to it, is gone."""

    async def permission(self, repository: int, user: str) -> str:
        """`admin`, `maintain`, `write`, `triage`, `read` or `none`."""

    async def branch(self, repository: int, name: str) -> Branch | None:
        """None when the branch, or our access to its repository, is gone."""

    async def is_ancestor(self, repository: int, older: str, newer: str) -> bool:
        """Whether `newer` was made on top of `older`; False also when the forge has forgotten one of the two."""

    async def open_pulls(self, repository: int) -> list[Pull]: ...
    async def repositories(self) -> list[int]:
        """Every repository that we are installed on; empty when that cannot be known (a plain token)."""

    def write_delay(self, *, final: bool) -> float:
        """Seconds until the forge may be written to: 0 for now. What is not `final` leaves room for what is."""

    async def put_comment(self, repository: int, number: int, marker: str, body: str, known: int | None) -> int | None:
        """Make our comment say `body` and return its id.

        `known` is the id from last time; without it, or when it was deleted, the comment is found by `marker` or
        written anew. None when the pull request takes no comments (locked). Raises ForgeGone, and OperatorError when
        we may not comment.
        """

    async def put_status(self, repository: int, commit: str, state: str, description: str, url: str) -> None:
        """Set the commit status `previewd`. `state` is `pending`, `success`, `failure` or `error`.

        Nothing happens when there is no such commit any more. Raises ForgeGone, and OperatorError when we may not.
        """

    async def put_deployment(self, repository: int, deployment: ForgeDeployment, known: int | None) -> int | None:
        """Let the forge show a deployment so, and return its id; it is made when there is none, unless it is inactive.

        `known` is the id from last time; without it, or when it was deleted, it is found by its marker. None when
        there is nothing to show it of, or we may not write deployments: previews do without.
        """

    async def clone_token(self, repository: int) -> str:
        """A token for fetching, empty when none is needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """What is kept of a pull request's commits. `number` is None for a repository of which nothing is."""

    repository: int
    number: int | None


class Sources(Protocol):
    """Commits of repositories, as git objects on this machine; never a work tree."""

    async def fetch(self, pull: Pull, token: str) -> None:
        """Have `pull.head_commit`, fetched from the base repository's `refs/pull/N/head`.

        Number 0 (`PreviewId.is_template`) is no pull request: it stands for the head of the base branch itself. Raises
        Superseded when that ref has moved on.
        """

    async def paths(self, repository: int, commit: str) -> list[str]: ...
    async def read(self, repository: int, commit: str, paths: Iterable[str]) -> dict[str, bytes]:
        """The contents of these regular files; a path that is none is left out."""

    async def context(self, repository: int, commit: str, root: str, dockerfile: str) -> BuildContext:
        """The folder `root`, less what the ignore file of `dockerfile` (relative to `root`) names."""

    async def export(self, repository: int, commit: str, path: str, target: str) -> bool:
        """Write a file or folder of the commit to `target` on this machine; False when the commit has none there."""

    async def remove(self, repository: int, number: int) -> None:
        """Forget a pull request's ref, and the repository with its last one."""

    async def kept(self) -> list[Checkout]:
        """Of which pull requests something is kept."""
