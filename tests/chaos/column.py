"""The SIGKILL column of the crash matrix: a worker dies at every boundary, and the real one finds what it left.

While the installation's own worker is frozen, workers of `tests.chaos.worker` take one preview each and die. Then the
frozen one is killed too: its supervisor starts another, which has to bring everything to its end.
"""

import asyncio
import itertools
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.apps import Change, Shape, files
from tests.chaos.judge import Judge
from tests.chaos.people import WRITER, Life, Place
from tests.chaos.points import POINTS, Moment, Point, Scene
from tests.chaos.script import Script
from tests.chaos.stage import Stage
from tests.chaos.watch import Watch
from tests.forge import Forge
from tests.support.wait import eventually

SIDE_BY_SIDE = 24
"""Pull requests of one round."""

VICTIMS = 3
"""Workers that die at the same time."""

VICTIM_SECONDS = 90.0
QUIET_SECONDS = 240.0
TOLD_SECONDS = 360.0

OK, NOT_REACHED = "ok", "not reached"


@dataclass(frozen=True, slots=True)
class Case:
    """One boundary and one moment."""

    point: Point
    moment: Moment

    @property
    def name(self) -> str:
        return f"{self.point.scene.value}: {self.point.name}, {self.moment.value}"


@dataclass(slots=True)
class Column:
    """What became of each case, and what cannot be laid to one of them."""

    results: dict[Case, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def is_well(self) -> bool:
        return not self.others and all(result == OK for result in self.results.values())


async def column(
    forge: Forge, stage: Stage, points: Sequence[Point] = POINTS, told: Callable[[str], None] = lambda _: None
) -> Column:
    """Die at each of these boundaries. `told` hears how far it is."""
    began, found = time.monotonic(), Column()
    play = _Play(forge, stage, found, told)
    by_scene = {scene: [Case(p, m) for p in points if p.scene is scene for m in Moment] for scene in Scene}
    rounds = itertools.zip_longest(*(_in_rounds(by_scene[scene]) for scene in Scene), fillvalue=())
    for number, cases in enumerate(rounds, start=1):
        await play.round(dict(zip(Scene, cases, strict=True)))
        told(f"round {number}: {len(found.results)} of {len(points) * len(Moment)} deaths died")
    await play.end()
    found.seconds = time.monotonic() - began
    return found


def _in_rounds(cases: Sequence[Case]) -> list[Sequence[Case]]:
    return [cases[first : first + SIDE_BY_SIDE] for first in range(0, len(cases), SIDE_BY_SIDE)]


class _Play:
    """Opens, pushes and closes, has workers die over it, and judges each time."""

    def __init__(self, forge: Forge, stage: Stage, found: Column, told: Callable[[str], None]) -> None:
        self._forge, self._stage, self._found, self._told = forge, stage, found, told
        self._watch = Watch(stage)
        first = files(Change(answer="main"), Shape.FULL)
        repository = forge.create_repository("acme/column", first)
        forge.set_permission(repository, WRITER, "write")
        self._place = Place(repository, Shape.FULL)
        self._numbers = itertools.count(1)
        self._lives: list[Life] = []
        """Of all rounds."""

    async def round(self, cases: Mapping[Scene, Sequence[Case]]) -> None:
        """As many pull requests as the scene with the most deaths needs."""
        await self._freeze()
        lives = [self._open() for _ in range(max(len(found) for found in cases.values()))]
        self._lives += lives
        await self._die(lives, cases[Scene.OPEN], lives)
        if cases[Scene.PUSH]:
            await self._freeze()
            pushed = lives[: len(cases[Scene.PUSH])]
            for life in pushed:
                self._push(life)
            await self._die(pushed, cases[Scene.PUSH], lives)
        if any(case.point.is_of_report for case in cases[Scene.CLOSE]):
            await self._all_told(lives)  # what is told of a removal follows from what was told before
        await self._freeze()
        for life in lives:
            self._forge.close(life.pull)
        await self._die(lives, cases[Scene.CLOSE], lives)

    async def end(self) -> None:
        """What all of them are told is judged once: it goes out at one write a second, and would hold up each round."""
        await self._all_told(self._lives)

    async def _all_told(self, lives: Sequence[Life]) -> None:
        self._found.others += (await Judge(self._stage, self._watch, lives).judge((), TOLD_SECONDS)).all()

    async def _die(self, changed: Sequence[Life], cases: Sequence[Case], everybody: Sequence[Life]) -> None:
        """Deliver what happened, let a worker die over each, start the real one, and judge."""
        await self._stage.deliver()
        turns = asyncio.Semaphore(VICTIMS)
        dying = [self._let_die(turns, life, case) for life, case in zip(changed, cases, strict=False)]
        reached = await asyncio.gather(*dying)
        self._stage.signal("worker", signal.SIGKILL)
        judge = Judge(self._stage, self._watch, everybody, with_comments=False)
        verdict = await judge.judge((), QUIET_SECONDS)
        left = verdict.all()
        for life, case, died in zip(changed, cases, reached, strict=False):
            mine = [line for line in left if _is_of(life, line)]
            left = [line for line in left if line not in mine]
            self._found.results[case] = "; ".join(mine) or (OK if died else NOT_REACHED)
            if self._found.results[case] != OK:
                self._told(f"{case.name} ({life.name}): {self._found.results[case]}")
        self._found.others += left

    async def _let_die(self, turns: asyncio.Semaphore, life: Life, case: Case) -> bool:
        """Whether it died where it should have."""
        preview = f"{life.key[0]}-{life.key[1]}"
        arguments = ("-m", "tests.chaos.worker", preview, str(POINTS.index(case.point)), case.moment.value)
        async with turns:
            with (self._stage.data_dir / "log" / "victims.log").open("ab") as log:
                victim = await asyncio.create_subprocess_exec(
                    sys.executable, *arguments, cwd=self._stage.data_dir, env=self._stage.environment,
                    stdout=log, stderr=log,
                )  # fmt: skip
            try:
                async with asyncio.timeout(VICTIM_SECONDS):
                    return await victim.wait() == -signal.SIGKILL
            except TimeoutError:
                return False
            finally:
                if victim.returncode is None:
                    victim.kill()
                    await victim.wait()

    async def _freeze(self) -> None:
        """Stop the installation's own worker, so that it takes nothing."""

        async def frozen() -> bool:
            return self._stage.signal("worker", signal.SIGSTOP) is not None

        await eventually(frozen, "the worker is there to be frozen")

    def _open(self) -> Life:
        title = f"case-{next(self._numbers)}"
        change = Change(answer=title, built=True)
        sha = self._forge.commit(self._place.repository, title, files(change, Shape.FULL))
        pull = self._forge.open_pull(self._place.repository, title, author=WRITER, title=title)
        script = Script(title=title, place=0, by_stranger=False, acts=())
        return Life(script=script, pull=pull, place=self._place, changes={sha: change})

    def _push(self, life: Life) -> None:
        change = Change(answer=f"{life.script.title}.pushed", built=True)
        life.changes[self._forge.push(life.pull, files(change, Shape.FULL))] = change


def _is_of(life: Life, line: str) -> bool:
    repository, number = life.key
    return any(f"{name} " in f"{line} ".replace(":", " ") for name in _names(life.name, repository, number))


def _names(name: str, repository: int, number: int) -> Iterable[str]:
    return name, f"{repository}-{number}", f"_{repository}_{number}"
