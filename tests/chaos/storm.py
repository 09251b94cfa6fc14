"""The storm: hundreds of pull requests come and go while everything that may break does, and what is left of it."""

import asyncio
import contextlib
import os
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.chaos.apps import Change, Shape, files
from tests.chaos.bystander import Bystander
from tests.chaos.judge import QUIET_SECONDS, Judge, Verdict
from tests.chaos.people import People
from tests.chaos.post import Post
from tests.chaos.remains import bridges_without_network
from tests.chaos.resume import Resume
from tests.chaos.script import Script, scripts
from tests.chaos.stage import Stage
from tests.chaos.tormentors import Tormentors
from tests.chaos.watch import Watch
from tests.forge import Forge
from tests.support.team import Team

SHAPES = (Shape.PLAIN, Shape.DATABASE, Shape.PLAIN, Shape.FULL)
"""Of the storm's repositories."""

LOST = "deliveries lost"
"""The name, beside those of the torments, under which losing deliveries can be left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How large a storm is."""

    seed: int
    cycles: int
    staying: int = 8
    """Pull requests that are open in the end."""
    at_once: int = 24
    """People at work. Most of them wait at any time: for a slot, for a delivery that was lost, for a lease to end."""
    workers: int = 2
    torments: Sequence[str] | None = None
    """These, one after the other and each once, in place of others at random."""
    without: Collection[str] = ()
    """Torments that are left out."""
    quiet_seconds: float = QUIET_SECONDS


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a storm was, and what it left."""

    plan: Plan
    cycles: int = 0
    pulls: int = 0
    acts: Counter[str] = field(default_factory=Counter)
    deliveries: Counter[str] = field(default_factory=Counter)
    torments: Counter[str] = field(default_factory=Counter)
    deployments: Counter[str] = field(default_factory=Counter)
    gave_up: int = 0
    resumes: Sequence[tuple[Resume, Sequence[str]]] = ()
    """With what else was broken meanwhile."""
    asked: int = 0
    excused: int = 0
    bystander: Sequence[str] = ()
    """What visitors of an uninvolved preview got instead of its answer."""
    open_ones: Verdict = field(default_factory=Verdict)
    """Right after the storm."""
    closed: Verdict = field(default_factory=Verdict)
    """After everything was closed."""
    seconds: float = 0.0
    logs: Path | None = None

    @property
    def is_well(self) -> bool:
        never = [resume for resume, _ in self.resumes if resume.seconds == float("inf")]
        return not (self.open_ones.all() or self.closed.all() or self.bystander or never)


class Storm:
    """One storm on one stage. `people`, `tormentors` and `post` may be looked at while it rages."""

    def __init__(self, plan: Plan, forge: Forge, stage: Stage) -> None:
        self.plan, self._forge, self._stage = plan, forge, stage
        random = Random(plan.seed)  # noqa: S311 - it is to be the same again
        self.scripts: list[Script] = scripts(plan.seed, plan.cycles, staying=plan.staying)
        self.watch = Watch(stage)
        self.post = Post(stage.courier, random, loses=LOST not in plan.without)
        self.people = People(forge, self.post, self.watch, SHAPES)
        self.bystander: Bystander | None = None
        self.tormentors: Tormentors | None = None
        self.judge: Judge | None = None
        self._random = random

    async def rage(self) -> Outcome:
        """All of it, from the first pull request to the last verdict. Nothing of it goes on when this ends."""
        try:
            return await self._rage()
        finally:
            await self.post.stop()
            if self.tormentors is not None:
                await self.tormentors.stop()
                await self.tormentors.deaths.give_up()

    async def _rage(self) -> Outcome:
        began = time.monotonic()
        bridges = await asyncio.to_thread(bridges_without_network)
        self.bystander = await self._open_bystander()
        self.tormentors = Tormentors(self._stage, self._forge, self.bystander, self._random, without=self.plan.without)
        async with _beside(self.watch.keep_looking()), _beside(self.bystander.keep_asking()):
            async with _beside(self._torment()):
                await self.people.play(self.scripts, at_once=self.plan.at_once)
                await self.post.all_brought()
            await self.tormentors.mend()
            await self.tormentors.deaths.all_followed()
            self.judge = Judge(
                self._stage,
                self.watch,
                self.people.lives,
                uninvolved=self._uninvolved[1],
                foreign_bridges=bridges,
            )
            open_ones = await self.judge.judge(self.post.accepted, self.plan.quiet_seconds)
        await self._close_everything()
        closed = await self.judge.judge(self.post.accepted, self.plan.quiet_seconds)
        return await self._outcome(open_ones, closed, time.monotonic() - began)

    async def _torment(self) -> None:
        assert self.tormentors is not None
        if self.plan.torments is None:
            await self.tormentors.keep_tormenting()
        for name in self.plan.torments or ():
            await asyncio.sleep(3)
            self.tormentors.torment(name)

    async def _open_bystander(self) -> Bystander:
        """A preview in a repository of its own, which nobody touches until the end."""
        team = Team(self._forge, self._stage, "bystander")
        self._uninvolved = team, await team.open(files(Change(answer="bystander"), Shape.PLAIN))
        preview = await team.reaches(self._uninvolved[1], "ready")
        return Bystander(self._stage, preview["host"], "bystander")

    async def _close_everything(self) -> None:
        team, pull = self._uninvolved
        await team.close(pull)
        await self.people.close_all()

    async def _outcome(self, open_ones: Verdict, closed: Verdict, seconds: float) -> Outcome:
        assert self.tormentors is not None
        assert self.bystander is not None
        rows = await self._stage.rows("SELECT coalesce(outcome, 'running') AS outcome FROM deployments")
        meanwhile = self.tormentors.meanwhile
        return Outcome(
            plan=self.plan,
            cycles=sum(script.cycles for script in self.scripts),
            pulls=len(self.people.lives),
            acts=Counter({verb.value: count for verb, count in self.people.done.items()}),
            deliveries=self.post.counts,
            torments=self.tormentors.counts,
            deployments=Counter(row["outcome"] for row in rows),
            gave_up=self.people.gave_up,
            resumes=[
                (it, meanwhile(it.died_at, it.restart_seconds + it.seconds)) for it in self.tormentors.deaths.resumes
            ],
            asked=self.bystander.asked,
            excused=self.bystander.excused,
            bystander=self.bystander.failures,
            open_ones=open_ones,
            closed=closed,
            seconds=seconds,
        )


def keep_logs(stage: Stage, folder: Path) -> Path:
    """Copy every log of an installation to where it is kept."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(stage.data_dir / "log", folder)
    if (stage.data_dir / "up.log").exists():
        shutil.copy(stage.data_dir / "up.log", folder)
    os.chmod(folder, 0o700)  # noqa: PTH101 - what servers print is for whoever ran this
    return folder


@contextlib.asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let something go on beside the block, and end with it. Its failure is the block's."""
    task = asyncio.create_task(work)
    try:
        yield
        if task.done() and not task.cancelled():
            task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
