"""A world in memory around a real worker: Engine, databases, git and GitHub are fakes, Postgres is real.

Fast enough to change the world before every single side effect and to look at what the worker does next.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from pydantic import SecretStr
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.errors import ForgeUnavailable
from orchestrator.ingress import COMMIT_HEADER
from orchestrator.names import instance_labels
from orchestrator.policy import Pull
from orchestrator.ports import Branch, Image
from orchestrator.preview import PreviewId
from orchestrator.queue import Queue
from orchestrator.records import Preview
from orchestrator.settings import Settings
from orchestrator.store import Delivery, Hint, Store
from orchestrator.tables import previews
from orchestrator.vault import Vault
from orchestrator.views import Views
from tests.support.apps import tiny
from tests.support.context import MemoryContext
from tests.support.fake_databases import FakeDatabases
from tests.support.fake_engine import FakeEngine
from worker.context import Hands
from worker.converge import converge
from worker.turns import Turns

FIRST, SECOND, BASE = "a" * 40, "b" * 40, "0" * 40
READS = frozenset(
    {"gateway", "image", "subnets", "container", "containers", "objects", "logs", "run_check", "paths", "read", "names"}
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

    def __init__(self, database: AsyncEngine, data_dir: Path) -> None:
        self.preview = PreviewId(812, 7)
        self.pull = Pull(
            repository=812,
            repository_name="acme/shop",
            clone_url="https://github.example/acme/shop.git",
            number=7,
            open=True,
            draft=False,
            title="A change",
            author="ada",
            author_is_bot=False,
            head_commit=FIRST,
            head_branch="feature",
            head_repository=812,
            base_branch="main",
        )
        self.permission = "write"
        self.base_commit = BASE
        self.forced: set[tuple[str, str]] = set()
        """Pushes that did not build on the commit before: the older commit and the newer one."""
        self.forge_is_away = False
        self.files = tiny(compose=COMPOSE)
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
        self.store, self.views = Store(database), Views(database)
        settings = Settings(data_dir=data_dir, secret_key=(SecretStr("key"),), launch_seconds=5, probe_seconds=5)
        self.hands = Hands(
            settings=settings,
            store=self.store,
            views=self.views,
            vault=Vault(settings.secret_key),
            queue=NoQueue(),
            engine=self.engine,
            databases=self.databases,
            forge=FakeForge(self),
            sources=FakeSources(self),
            proxy=httpx.AsyncClient(transport=httpx.MockTransport(self._answer), base_url="http://proxy"),
            slots=asyncio.Semaphore(4),
            turns=Turns(4),
        )

    async def hint(self) -> None:
        """GitHub says: look at this pull request."""
        delivery = Delivery(id=str(uuid4()), event="pull_request", action="synchronize", outcome="accepted", reason="")
        hint = Hint(
            preview=self.preview,
            repository_name=self.pull.repository_name,
            title=self.pull.title,
            author=self.pull.author,
            branch=self.pull.head_branch,
            hosts=(f"pr-{self.preview.number}-shop.example.com",),
        )
        await self.store.record(delivery, hint)

    async def change(self, **changes: object) -> None:
        """Change the pull request, and have GitHub say so."""
        self.pull = replace(self.pull, **changes)  # type: ignore[arg-type]
        await self.hint()

    def turn_to(self, number: int) -> None:
        """Go on with another pull request of the repository, open and at the same commit."""
        self.preview = PreviewId(self.preview.repository, number)
        self.pull = replace(self.pull, number=number, open=True)

    async def converge(self) -> Preview:
        """Let a worker act until it has nothing to do."""
        await converge(self.hands, self.preview)
        found = await self.views.preview(self.preview)
        assert found is not None
        return found

    async def steal_lease(self) -> None:
        """What happens to a worker that was frozen: another one has taken over, and is at work."""
        async with self._database.begin() as connection:
            await connection.execute(update(previews).values(lease_token=uuid4()))

    async def effect(self, name: str, what: str = "") -> None:
        """Record a side effect, which then happens."""
        await self.before(name)
        self.effects.append((name, what))

    async def row(self) -> Any:
        """The preview's row, with what views do not show."""
        async with self._database.connect() as connection:
            return (await connection.execute(select(previews).where(previews.c.number == self.preview.number))).one()

    async def leftovers(self) -> list[str]:
        """What the preview owns by now, and the images that it alone uses."""
        objects = await self.engine.objects(instance_labels(self.hands.settings.instance))
        return sorted([*(thing.kind for thing in objects), *self.databases.databases])

    async def _engine_called(self, name: str, arguments: tuple[object, ...]) -> None:
        if name not in READS:
            await self.effect(name, repr(arguments))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        """The proxy: whoever is candidate answers."""
        route = await self.views.route(request.headers["Host"])
        commit = (route.candidate_commit or route.commit or "") if route else ""
        return httpx.Response(200, headers={COMMIT_HEADER: commit}, content=_empty_body())


async def _empty_body() -> AsyncGenerator[bytes, None]:
    yield b""


async def _nothing(_: str) -> None:
    """Let it happen."""


class NoQueue(Queue):
    """Nobody is woken: the test calls the worker by itself."""

    def __init__(self) -> None:
        """There is no Redis."""


class FakeForge:
    def __init__(self, world: World) -> None:
        self._world = world

    async def pull(self, repository: int, number: int) -> Pull | None:  # noqa: ARG002
        if self._world.forge_is_away:
            raise ForgeUnavailable("GitHub does not answer", retry_after=0)
        return replace(self._world.pull, number=number)

    async def permission(self, repository: int, user: str) -> str:  # noqa: ARG002
        return self._world.permission

    async def branch(self, repository: int, name: str) -> Branch | None:  # noqa: ARG002
        pull = self._world.pull
        commit = self._world.base_commit
        return Branch(repository_name=pull.repository_name, clone_url=pull.clone_url, name=name, commit=commit)

    async def is_ancestor(self, repository: int, older: str, newer: str) -> bool:  # noqa: ARG002
        return (older, newer) not in self._world.forced

    async def open_pulls(self, repository: int) -> list[Pull]:  # noqa: ARG002
        return [self._world.pull]

    async def put_comment(self, repository: int, number: int, marker: str, body: str, known: int | None) -> int | None:  # noqa: ARG002
        return 1

    async def put_status(self, repository: int, commit: str, state: str, description: str, url: str) -> None:
        """Nobody reads it."""

    async def clone_token(self, repository: int) -> str:  # noqa: ARG002
        return ""


class FakeSources:
    def __init__(self, world: World) -> None:
        self._world = world

    async def fetch(self, pull: Pull, token: str) -> None:  # noqa: ARG002
        await self._world.effect("fetch", pull.head_commit)

    async def paths(self, repository: int, commit: str) -> list[str]:  # noqa: ARG002
        return sorted(self._world.files)

    async def read(self, repository: int, commit: str, paths: Iterable[str]) -> dict[str, bytes]:  # noqa: ARG002
        return {path: self._world.files[path] for path in paths if path in self._world.files}

    async def context(self, repository: int, commit: str, root: str, dockerfile: str) -> MemoryContext:  # noqa: ARG002
        """The files below `root`, less those that stand in `.dockerignore` by their very names."""
        ignored = self._world.files.get(".dockerignore", b"").decode().split()
        below = "" if root in {"", "."} else f"{root}/"
        files = {path: content for path, content in self._world.files.items() if path.startswith(below)}
        return MemoryContext({path.removeprefix(below): files[path] for path in files if path not in ignored})

    async def export(self, repository: int, commit: str, path: str, target: str) -> bool:  # noqa: ARG002
        await self._world.effect("export", commit)
        return True

    async def remove(self, repository: int, number: int) -> None:  # noqa: ARG002
        await self._world.effect("forget", str(number))
