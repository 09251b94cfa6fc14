"""A world in memory around a real worker: Engine, databases, git and GitHub are fakes, Postgres is real.

Fast enough to change the world before every single side effect and to look at what the worker does next.
"""

import itertools
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from pydantic import SecretStr
from sqlalchemy import select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.ports.engine import Image
from orchestrator.ports.forge import Branch, ForgeDeployment
from orchestrator.ports.ingress import COMMIT_HEADER, ROUTE_HEADER, ROUTE_STATUS, UPSTREAM_HEADER, route_token
from orchestrator.ports.sources import Checkout
from orchestrator.preview.errors import ForgeUnavailable
from orchestrator.preview.names import host_name, instance_labels
from orchestrator.preview.records import Preview
from orchestrator.preview.state import PreviewId
from orchestrator.preview.trust import Pull
from orchestrator.runtime import fence
from orchestrator.runtime.queue import Queue
from orchestrator.runtime.settings import Settings
from orchestrator.store.deliveries import Delivery, Hint
from orchestrator.store.encryption import Encryption
from orchestrator.store.queries import Queries
from orchestrator.store.store import Store
from orchestrator.store.tables import previews
from tests.support.apps import tiny
from tests.support.context import MemoryContext
from tests.support.fake_databases import FakeDatabases
from tests.support.fake_engine import FakeEngine
from tests.support.pulls import PULL
from worker.context.build_slots import BuildSlots
from worker.context.context import WorkerContext
from worker.converge import converge

FIRST, SECOND, BASE = "a" * 40, "b" * 40, "0" * 40
READS = frozenset(
    {
        "ping",
        "gateway",
        "root",
        "build_cache_bytes",
        "image",
        "subnets",
        "container",
        "containers",
        "objects",
        "logs",
        "run_check",
        "paths",
        "read",
        "names",
    }
)
REMOVALS = frozenset({"remove_container", "remove_network", "remove_volume", "remove_image", "remove", "forget"})

Before = Callable[[str], Awaitable[None]]
COMPOSE = """\
services:
  app:
    build: .
    expose: ["8000"]
    depends_on: [cache]
  cache:
    image: redis:7
    volumes: ["cache:/data"]
volumes:
  cache: {}
"""


class World:
    """One repository with one pull request, and one worker. `before` is awaited before each side effect."""

    def __init__(
        self, database: AsyncEngine, data_dir: Path, repository: int = 812, repository_name: str = "acme/shop"
    ) -> None:
        self.preview = PreviewId(repository, 7)
        self.permission = "write"
        self.allowed: set[str] = set()
        """Every commit that had leave to run at some time."""
        self.pulls: dict[int, Pull] = {}
        """The forge's truth, by number. `pull` is the one of `preview`."""
        self.pull = replace(
            PULL,
            repository=repository,
            repository_name=repository_name,
            clone_url=f"https://github.example/{repository_name}.git",
            head_commit=FIRST,
            head_repository=repository,
        )
        self.base_commit = BASE
        self.forced: set[tuple[str, str]] = set()
        """Pushes that did not build on the commit before: the older commit and the newer one."""
        self.forge_is_away = False
        self.installed: list[int] = []
        """Repositories on which the App is installed."""
        self.checkouts: set[PreviewId] = set()
        self.routes: dict[str, str] = {}
        """Where Caddy leads although something else serves, by host."""
        self.conversations: dict[int, dict[int, str]] = defaultdict(dict)
        """By pull request: what each comment says, by its id."""
        self.environments: dict[int, ForgeDeployment] = {}
        """What each deployment says, by its id."""
        self.statuses: dict[str, tuple[str, str, str]] = {}
        """By commit: the newest status, its description, and the address of the preview that it is about."""
        self.fetched: dict[int, str] = {}
        """The commits that are kept on this machine, by pull request."""
        self.files = tiny(compose=COMPOSE)
        """What every commit holds that is not among `commits`."""
        self.commits: dict[str, dict[str, bytes]] = {}
        self.effects: list[tuple[str, str]] = []
        """Every side effect, with what it names."""
        self.before: Before = _nothing
        self.engine = FakeEngine()
        self.engine.before = self._engine_called
        self.engine.registry = {"redis:7": Image(id="sha256:redis", exposed_ports=(6379,))}
        self.engine.add_image("python:3.11-slim")
        self.databases = FakeDatabases()
        self.databases.before = self.effect
        self._database = database
        self.store, self.queries = Store.of(database), Queries(database)
        settings = Settings(data_dir=data_dir, secret_key=(SecretStr("key"),), launch_seconds=5, probe_seconds=5)
        self.context = WorkerContext(
            settings=settings,
            store=self.store,
            queries=self.queries,
            encryption=Encryption(settings.secret_key),
            queue=NoQueue(),
            engine=self.engine,
            databases=self.databases,
            forge=FakeForge(self),
            sources=FakeSources(self),
            proxy=httpx.AsyncClient(transport=httpx.MockTransport(self.answer), base_url="http://proxy"),
            build_slots=BuildSlots(4),
        )

    @property
    def pull(self) -> Pull:
        """What the forge says of the pull request at hand."""
        return self.pulls[self.preview.number]

    @pull.setter
    def pull(self, pull: Pull) -> None:
        self.pulls[pull.number] = pull
        if self.has_leave(pull):
            self.allowed.add(pull.head_commit)

    def has_leave(self, pull: Pull) -> bool:
        """Whether its commit may run: said again, and otherwise than the product says it."""
        ours = pull.head_repository == pull.repository and not pull.author_is_bot
        return pull.open and not pull.draft and ours and self.permission in {"write", "maintain", "admin"}

    async def hint(self) -> None:
        """GitHub says: look at this pull request."""
        delivery = Delivery(id=str(uuid4()), event="pull_request", action="synchronize", outcome="accepted", reason="")
        hint = Hint(
            preview=self.preview,
            repository_name=self.pull.repository_name,
            title=self.pull.title,
            author=self.pull.author,
            branch=self.pull.head_branch,
            hosts=(
                host_name("pr-{number}-{repo}.{domain}", "example.com", self.pull.repository_name, self.preview.number),
            ),
        )
        await self.store.deliveries.record(delivery, hint)

    async def change(self, **changes: object) -> None:
        """Change the pull request, and have GitHub say so."""
        self.pull = replace(self.pull, **changes)  # type: ignore[arg-type]
        await self.hint()

    def turn_to(self, number: int) -> None:
        """Go on with another pull request of the repository, open and at the same commit."""
        self.pull = replace(self.pull, number=number, open=True)
        self.preview = PreviewId(self.preview.repository, number)

    async def converge(self) -> Preview:
        """Let a worker act until it has nothing to do."""
        await converge(self.context, self.preview)
        found = await self.queries.preview(self.preview)
        assert found is not None
        return found

    async def steal_lease(self) -> None:
        """What happens to a worker that was frozen: another one has taken over, and is at work."""
        async with self._database.begin() as connection:
            await connection.execute(update(previews).values(lease_token=uuid4()))

    async def effect(self, name: str, what: str = "") -> None:
        """Record a side effect, which then happens: as real adapters do, it asks the fence at the last moment."""
        await self.before(name)
        fence.require()
        self.effects.append((name, what))

    async def row(self) -> Any:
        """The preview's row, with what views do not show."""
        async with self._database.connect() as connection:
            mine = (previews.c.repository, previews.c.number)
            query = select(previews).where(tuple_(*mine) == (self.preview.repository, self.preview.number))
            return (await connection.execute(query)).one()

    async def leftovers(self) -> list[str]:
        """What the preview owns by now, and the images that it alone uses."""
        objects = await self.engine.objects(instance_labels(self.context.settings.instance))
        return sorted([*(thing.kind for thing in objects), *self.databases.databases])

    async def _engine_called(self, name: str, arguments: tuple[object, ...]) -> None:
        if name not in READS:
            await self.effect(name, repr(arguments))

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """The proxy: whoever is candidate answers, if his container runs."""
        host = request.headers["Host"]
        route = await self.queries.route(host)
        if ROUTE_HEADER in request.headers:
            assert request.headers[ROUTE_HEADER] == route_token("key", host)
            upstream = self.routes.pop(host, None) or (route.upstream if route else None) or ""
            return httpx.Response(ROUTE_STATUS, headers={UPSTREAM_HEADER: upstream}, content=_empty_body())
        if route is None:
            return httpx.Response(404, content=_empty_body())
        commit = route.candidate_commit or route.commit or ""
        upstream = route.candidate_upstream or route.upstream or ""
        status = 200 if self.engine.answers(upstream.partition(":")[0]) else 502
        return httpx.Response(status, headers={COMMIT_HEADER: commit}, content=_empty_body())


async def _empty_body() -> AsyncGenerator[bytes, None]:
    yield b""


async def _nothing(_: str) -> None:
    """Let it happen."""


class NoQueue(Queue):
    """Nobody is woken: the test calls the worker by itself."""

    def __init__(self) -> None:
        """There is no Redis."""

    async def wake(self, preview: PreviewId, generation: int) -> bool:  # noqa: ARG002
        return False


class FakeForge:
    def __init__(self, world: World) -> None:
        self._world = world
        self._ids = itertools.count(1)

    async def fault(self) -> str:
        return "GitHub does not answer" if self._world.forge_is_away else ""

    async def pull(self, repository: int, number: int) -> Pull | None:  # noqa: ARG002
        self._require_answer()
        return self._world.pulls.get(number)

    async def permission(self, repository: int, user: str) -> str:  # noqa: ARG002
        self._require_answer()
        return self._world.permission

    async def branch(self, repository: int, name: str) -> Branch | None:  # noqa: ARG002
        pull = self._world.pull
        commit = self._world.base_commit
        return Branch(repository_name=pull.repository_name, clone_url=pull.clone_url, name=name, commit=commit)

    async def is_ancestor(self, repository: int, older: str, newer: str) -> bool:  # noqa: ARG002
        return (older, newer) not in self._world.forced

    async def open_pulls(self, repository: int) -> list[Pull]:
        self._require_answer()
        return [pull for pull in self._world.pulls.values() if pull.open and pull.repository == repository]

    async def repositories(self) -> list[int]:
        return self._world.installed

    def write_delay(self, *, final: bool) -> float:  # noqa: ARG002
        return 0.0

    async def put_comment(self, repository: int, number: int, marker: str, body: str, known: int | None) -> int | None:  # noqa: ARG002
        self._require_answer()
        comments = self._world.conversations[number]
        found = next((key for key, text in comments.items() if marker in text), None)
        comment = known if known in comments else found
        comment = next(self._ids) if comment is None else comment
        comments[comment] = body
        return comment

    async def put_status(self, repository: int, commit: str, state: str, description: str, url: str) -> None:  # noqa: ARG002
        self._require_answer()
        self._world.statuses[commit] = (state, description, url)

    async def put_deployment(self, repository: int, deployment: ForgeDeployment, known: int | None) -> int | None:  # noqa: ARG002
        self._require_answer()
        environments, key = self._world.environments, (deployment.environment, deployment.commit)
        same = (id_ for id_, each in environments.items() if (each.environment, each.commit) == key)
        found = known if known in environments else next(same, None)
        found = next(self._ids) if found is None else found
        environments[found] = deployment
        return found

    async def clone_token(self, repository: int) -> str:  # noqa: ARG002
        self._require_answer()
        return ""

    def _require_answer(self) -> None:
        if self._world.forge_is_away:
            raise ForgeUnavailable("GitHub does not answer", retry_after=0)


class FakeSources:
    def __init__(self, world: World) -> None:
        self._world = world

    async def fetch(self, pull: Pull, token: str) -> None:  # noqa: ARG002
        await self._world.effect("fetch", pull.head_commit)
        self._world.checkouts.add(PreviewId(pull.repository, pull.number))
        self._world.fetched[pull.number] = pull.head_commit

    async def paths(self, repository: int, commit: str) -> list[str]:  # noqa: ARG002
        return sorted(self._files(commit))

    async def read(self, repository: int, commit: str, paths: Iterable[str]) -> dict[str, bytes]:  # noqa: ARG002
        files = self._files(commit)
        return {path: files[path] for path in paths if path in files}

    async def files(self, repository: int, commit: str) -> AbstractAsyncContextManager[Mapping[str, bytes]]:  # noqa: ARG002
        return nullcontext(self._files(commit))

    async def context(self, repository: int, commit: str, root: str, dockerfile: str) -> MemoryContext:  # noqa: ARG002
        """The files below `root`, less those that stand in `.dockerignore` by their very names."""
        every = self._files(commit)
        ignored = every.get(".dockerignore", b"").decode().split()
        below = "" if root in {"", "."} else f"{root}/"
        files = {path: content for path, content in every.items() if path.startswith(below)}
        return MemoryContext({path.removeprefix(below): files[path] for path in files if path not in ignored})

    async def export(self, repository: int, commit: str, path: str, target: str) -> bool:  # noqa: ARG002
        await self._world.effect("export", commit)
        return True

    async def remove(self, repository: int, number: int) -> None:
        await self._world.effect("forget", str(number))
        self._world.checkouts.discard(PreviewId(repository, number))
        self._world.fetched.pop(number, None)

    async def kept(self) -> list[Checkout]:
        return [Checkout(repository=one.repository, number=one.number) for one in self._world.checkouts]

    def _files(self, commit: str) -> dict[str, bytes]:
        return self._world.commits.get(commit, self._world.files)
