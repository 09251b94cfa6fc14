"""One preview's stack brought up by the worker's own steps, on the real Engine and a real store, and nothing else.

What asks GitHub and git is replaced by values; there is no build, no proxy and no probe.
"""

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.adapters.engine.engine import DockerEngine
from orchestrator.compose.database import Placement, forms
from orchestrator.compose.model import Stack
from orchestrator.compose.prepare import Prepared
from orchestrator.compose.route import Route
from orchestrator.compose.services.stack import read
from orchestrator.preview.errors import LeaseLost
from orchestrator.preview.names import Names
from orchestrator.preview.state import STATE_DURING, PreviewId, State, Step
from orchestrator.preview.trust import Pull
from orchestrator.runtime.concurrency import run_watched
from orchestrator.runtime.settings import Settings
from orchestrator.store.claims import Claim
from orchestrator.store.deliveries import Delivery, Hint
from orchestrator.store.encryption import Encryption
from orchestrator.store.queries import Queries
from orchestrator.store.store import Store
from tests.support.docker import ENGINE_URL
from tests.support.engine import remove_everything_of
from worker.cleanup.unserving import discard_unserving
from worker.containers.plan import plan
from worker.context.build_slots import BuildSlots
from worker.context.context import WorkerContext
from worker.deployment.deployment import Deployment
from worker.deployment.gate import Gate
from worker.deployment.journal import Journal
from worker.pull_request import PullRequest
from worker.steps import environment, launch, teardown

PATH = "compose.yaml"

_numbers = itertools.count(1)


class Files:
    """Repositories' files, by repository and commit: what the steps ask `Sources` for."""

    def __init__(self) -> None:
        self.commits: dict[tuple[int, str], Mapping[str, bytes]] = {}

    async def read(self, repository: int, commit: str, paths: Iterable[str]) -> dict[str, bytes]:
        files = self.commits[repository, commit]
        return {path: files[path] for path in paths if path in files}

    async def export(self, repository: int, commit: str, path: str, target: str) -> bool:
        files = self.commits[repository, commit].items()
        below = {name: data for name, data in files if path in (".", name) or name.startswith(f"{path}/")}
        for name, data in below.items():
            to = Path(target) if name == path else Path(target) / Path(name).relative_to(path)
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(data)
        return bool(below)

    async def remove(self, repository: int, number: int) -> None:
        """Nothing was kept."""


class Github:
    """Answers that each pull request is open, at whatever commit was last put up."""

    def __init__(self) -> None:
        self.pulls: dict[PreviewId, Pull] = {}

    async def pull(self, repository: int, number: int) -> Pull:
        return self.pulls[PreviewId(repository, number)]

    async def permission(self, *_: object) -> str:
        return "write"


class _Databases:
    async def remove(self, name: str) -> None:
        """None was made."""


class Launcher:
    """The worker's context, and as many previews as a test opens."""

    def __init__(self, database: AsyncEngine, data_dir: Path, instance: str, **settings: Any) -> None:
        self.engine = DockerEngine(ENGINE_URL)
        self.forge = Github()
        self.sources = Files()
        self.context = WorkerContext(
            settings=Settings(instance=instance, data_dir=data_dir, _env_file=None, **settings),
            store=Store.of(database),
            queries=Queries(database),
            encryption=Encryption((SecretStr("of no importance here"),)),
            queue=cast("Any", None),
            engine=self.engine,
            databases=cast("Any", _Databases()),
            forge=cast("Any", self.forge),
            sources=cast("Any", self.sources),
            proxy=cast("Any", None),
            build_slots=BuildSlots(1),
        )

    async def open(self) -> "LaunchedPreview":
        """A preview of its own, with its lease."""
        preview = PreviewId(next(_numbers), 1)
        hint = Hint(
            preview=preview,
            repository_name="acme/shop",
            title="",
            author="ada",
            branch="feature",
            hosts=(f"pr-{preview}.example.com",),
        )
        delivery = Delivery(id=str(uuid4()), event="pull_request", action="opened", outcome="accepted", reason="")
        await self.context.store.deliveries.record(delivery, hint)
        claim = await self.context.store.claims.acquire(preview)
        assert claim is not None
        return LaunchedPreview(self, claim)


@asynccontextmanager
async def launcher(database: AsyncEngine, **settings: Any) -> AsyncIterator[Launcher]:
    """Whatever its previews made is gone afterwards."""
    instance = f"t{uuid4().hex[:8]}"
    data_dir = Path(tempfile.mkdtemp(prefix="previewd-launch-"))
    made = Launcher(database, data_dir, instance, **settings)
    try:
        yield made
    finally:
        await asyncio.to_thread(remove_everything_of, instance)
        await made.engine.close()
        shutil.rmtree(data_dir, ignore_errors=True)


class LaunchedPreview:
    """One preview of a launcher."""

    def __init__(self, launcher: Launcher, claim: Claim) -> None:
        self.launcher = launcher
        self.claim = claim
        self.lines: list[str] = []
        """What the last launch said."""

    @property
    def names(self) -> Names:
        return Names(instance=self.launcher.context.settings.instance, preview=self.claim.preview)

    async def up(
        self, compose: str, commit: str = "0" * 40, files: Mapping[str, bytes] | None = None, **variables: str
    ) -> Deployment:
        """Run the steps that come after the database. Raises what they raise."""
        everything = {**(files or {}), PATH: compose.encode()}
        self.launcher.sources.commits[self.claim.preview.repository, commit] = everything
        stack = read(everything, PATH, {"GIT_SHA": commit, **variables})
        return await self.launch(stack, commit)

    async def launch(self, stack: Stack, commit: str) -> Deployment:
        """The same, for a stack that was read before."""
        deployment = await self._deployment(commit)
        route = Route(service=next(iter(stack.services)), port=8000, health="/", health_is_given=True)
        placed = Placement(mode=stack.preview.database.mode)
        deployment.prepared = Prepared(stack=stack, route=route, database=placed, forms=forms(stack, {}))
        await run_watched(self._run(deployment), deployment.gate.watch())
        return deployment

    async def serve(self, deployment: Deployment) -> None:
        """What follows a proof: the new containers serve, and what serves no more goes."""
        await self._hold()
        names = [container.name for replicas in (await plan(deployment)).values() for container in replicas]
        await self.claim.serving.set_candidate(deployment.commit, "192.0.2.1:80", "token")
        await self.claim.serving.promote(names, "tested")
        await discard_unserving(self.launcher.context, self.claim, replaced=True)

    async def fail(self) -> None:
        """What follows a failure: the old containers go on serving."""
        await self._hold()
        await discard_unserving(self.launcher.context, self.claim)
        await self.claim.advance(State.FAILED, "tested")

    async def down(self) -> None:
        await self._hold()
        await teardown.run(self.launcher.context, self.claim)

    async def _hold(self) -> int:
        """Keep the lease, or take it again: nobody renews it while a test looks around."""
        store = self.launcher.context.store
        try:
            return await self.claim.renew()
        except LeaseLost:
            taken = await store.claims.acquire(self.claim.preview)
            assert taken is not None
            self.claim = taken
            return await taken.renew()

    async def _deployment(self, commit: str) -> Deployment:
        generation = await self._hold()
        context, claim = self.launcher.context, self.claim
        pull = _pull(claim.preview, commit)
        self.launcher.forge.pulls[claim.preview] = pull
        await claim.advance(State.QUEUED, "tested", commit=commit)
        number = await claim.deployments.start(generation, commit)
        gate = Gate(claim, lambda: PullRequest().look(context, claim.preview), generation, commit)
        return Deployment(
            context=context,
            claim=claim,
            gate=gate,
            pull=pull,
            host="pr.example.com",
            database_name=context.names(claim.preview).database,
            number=number,
            journal=Journal(context.store.logs, number),
        )

    async def _run(self, deployment: Deployment) -> None:
        said: list[str] = []
        say = deployment.journal.say

        async def listen(line: str) -> None:
            said.append(line)
            await say(line)

        cast("Any", deployment.journal).say = listen
        self.lines = said
        try:
            for step in (Step.SOURCE, Step.DATABASE):
                await deployment.enter(step, STATE_DURING[step])
            await environment.run(deployment)
            await deployment.enter(Step.LAUNCH, State.STARTING)
            await launch.run(deployment)
        finally:
            await deployment.journal.close()


def _pull(preview: PreviewId, commit: str) -> Pull:
    return Pull(
        repository=preview.repository,
        repository_name="acme/shop",
        clone_url="",
        number=preview.number,
        open=True,
        draft=False,
        title="",
        author="ada",
        author_is_bot=False,
        head_commit=commit,
        head_branch="feature",
        head_repository=preview.repository,
        base_branch="main",
    )
