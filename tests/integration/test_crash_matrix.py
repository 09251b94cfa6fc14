"""Every step, struck before its effect, after it but before it is written down, and after that, by everything that
happens to workers and to what they need. Then: restart, rest, and each invariant holds.

One case by itself: FAULT_POINT="D10 create database:unrecorded:sigkill" pytest tests/integration/test_crash_matrix.py
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from uuid import uuid4

import pytest
import uvloop
from pydantic import SecretStr
from sqlalchemy import select
from structlog.testing import capture_logs

from orchestrator.runtime.settings import asyncpg_url
from orchestrator.store.connection import connect
from orchestrator.store.tables import deliveries
from tests.support import invariants
from tests.support.faults import (
    CLOSING,
    FAILING,
    MOMENTS_AND_MODES,
    OPENING,
    RECEIVING,
    REPLACING,
    Fault,
    Mode,
    Moment,
    Place,
    what_fails,
)
from tests.support.mortal import Mortal
from tests.support.scene import Scene
from tests.support.web_door import Door, Strike
from tests.support.world import SECOND

ONLY = os.environ.get("FAULT_POINT")
ACCEPTED = 202
NOWHERE = Place("nowhere")
NOT_THE_RECEIVERS = {Mode.DOCKERD, Mode.ENGINE, Mode.GITHUB}
"""The receiver asks neither the Docker Engine nor GitHub."""

Story = Callable[["Scene"], Awaitable[None]]


async def _open(scene: Scene) -> None:
    await scene.world.hint()


async def _replace(scene: Scene) -> None:
    await scene.world.hint()
    await scene.settle()
    scene.world.files["app.py"] = b"print('another')"
    await scene.world.change(head_commit=SECOND)


async def _close(scene: Scene) -> None:
    await scene.world.hint()
    await scene.settle()
    await scene.world.change(open=False)


STEPS: Mapping[str, tuple[Story, Place]] = {
    **{step: (_open, place) for step, place in OPENING.items()},
    **{step: (_replace, place) for step, place in REPLACING.items()},
    **{step: (_close, place) for step, place in CLOSING.items()},
}


class Lane:
    """A database that one world after the other has to itself."""

    def __init__(self, url: str, data_dir: Path, patch: pytest.MonkeyPatch) -> None:
        # Only where sessions end is it worth a way to Postgres and back to try each of them first, as a worker does.
        self._usual = connect(asyncpg_url(SecretStr(url)), ping=False)
        self._tried = connect(asyncpg_url(SecretStr(url)))
        self._doors = {database: Door(database, patch) for database in (self._usual, self._tried)}
        self._data_dir = data_dir

    async def rehearse(self, story: Story) -> list[str]:
        """The calls of a worker whom nothing happens to."""
        scene = Scene.set(self._usual, self._data_dir)
        await story(scene)
        worker = Mortal(scene.world, scene.redis, scene.database, NOWHERE, Fault("none", Moment.BEFORE, Mode.RAISE))
        await worker.live()
        await scene.clear()
        return worker.trace

    async def play(self, fault: Fault) -> list[str]:
        """Play one case, and return what is broken after it."""
        database = self._tried if fault.mode is Mode.POSTGRES else self._usual
        scene = Scene.set(database, self._data_dir)
        try:
            return await _outcome(scene, self._doors[database], fault)
        finally:
            await scene.clear()
            if fault.mode is Mode.POSTGRES:
                await self.close()

    async def close(self) -> None:
        await self._usual.dispose()
        await self._tried.dispose()


class Stage:
    """The event loop and the databases of all cases."""

    def __init__(self, urls: Sequence[str], data_dir: Path, patch: pytest.MonkeyPatch) -> None:
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._lanes = [Lane(url, data_dir, patch) for url in urls]
        self._traces: dict[Story, list[str]] = {}
        self._outcomes: dict[object, list[str]] = {}

    def close(self) -> None:
        for lane in self._lanes:
            self._runner.run(lane.close())
        self._runner.close()

    def play(self, faults: Sequence[Fault]) -> dict[Fault, list[str]]:
        """Play each case, and return what is broken after it."""
        return self._runner.run(self._play(faults))

    async def _play(self, faults: Sequence[Fault]) -> dict[Fault, list[str]]:
        same = {fault: await self._same(fault) for fault in faults}
        missing = iter({case: fault for fault, case in same.items() if case not in self._outcomes}.items())

        async def play_all(lane: Lane) -> None:
            for case, fault in missing:
                self._outcomes[case] = await lane.play(fault)

        await asyncio.gather(*map(play_all, self._lanes))  # while one waits for Postgres, another computes
        return {fault: self._outcomes[case] for fault, case in same.items()}

    async def _same(self, fault: Fault) -> object:
        """A value that is equal for faults of which nobody can tell which it was: one of them is played."""
        if fault.step in RECEIVING:
            return "nothing" if fault.mode in NOT_THE_RECEIVERS else fault
        story, place = STEPS[fault.step]
        if fault.mode not in FAILING:
            return fault
        if story not in self._traces:
            self._traces[story] = await self._lanes[0].rehearse(story)
        fails = what_fails(self._traces[story], place, fault)
        return fault if fails is None else (story, fault.mode, fails)


async def _outcome(scene: Scene, door: Door, fault: Fault) -> list[str]:
    try:
        if fault.step in RECEIVING:
            return await _struck_delivery(scene, door, fault)
        return await _case(scene, fault)
    except Exception as error:  # noqa: BLE001 - told with the case that it belongs to
        return [f"{type(error).__name__}: {error}"]


async def _case(scene: Scene, fault: Fault) -> list[str]:
    story, place = STEPS[fault.step]
    await story(scene)
    worker = Mortal(scene.world, scene.redis, scene.database, place, fault)
    await worker.live()
    if not worker.struck:
        return ["the step was never reached"]
    if worker.is_frozen:
        await scene.expire_leases()
        await scene.settle()
        await worker.thaw()
    return await _recovered(scene, close=fault.moment is Moment.UNRECORDED or fault.mode in FAILING)


async def _struck_delivery(scene: Scene, door: Door, fault: Fault) -> list[str]:
    """A delivery that got no 2xx shows as failed on GitHub, and is delivered again from there."""
    pull, guid = scene.world.pull, str(uuid4())
    door.post.of[pull.repository] = scene.redis
    strike = Strike(fault, scene.redis, scene.database)
    answer = await door.deliver(pull, "opened", guid, strike)
    await strike.rest()
    if not strike.struck and answer is not None:
        return ["the step was never reached"]
    if answer == ACCEPTED and not await _is_recorded(scene, guid):
        return ["I8: it was answered with 202, and is not recorded"]
    scene.redis.is_down = False
    while answer != ACCEPTED:
        answer = await door.deliver(pull, "opened", guid)
    return await _recovered(scene, close=False)


async def _is_recorded(scene: Scene, guid: str) -> bool:
    async with scene.database.connect() as connection:
        found = await connection.scalar(select(deliveries.c.times).where(deliveries.c.id == guid))
    return found is not None


async def _recovered(scene: Scene, *, close: bool) -> list[str]:
    """Restart everything, come to rest, look; then, where something may be there that nobody knows of, close too."""
    scene.redis.is_down = False
    await scene.expire_leases()
    await scene.settle()
    found = await invariants.broken(scene.world, scene.database)
    if not found and close and scene.world.pull.open:
        await scene.world.change(open=False)
        await scene.settle()
        found = [f"after its close: {fault}" for fault in await invariants.broken(scene.world, scene.database)]
    return found


@pytest.fixture(scope="module")
def stage(
    module_database_url: str, other_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    # To write each traceback with its locals would take longer than all the rest.
    with pytest.MonkeyPatch.context() as patch, capture_logs():
        stage = Stage((module_database_url, other_database_url), tmp_path_factory.mktemp("matrix"), patch)
        yield stage
        stage.close()


@pytest.mark.parametrize("step", [*RECEIVING, *STEPS])
def test_a_step_may_be_struck_at_any_moment_by_anything(stage: Stage, step: str) -> None:
    faults = [Fault(step, moment, mode) for moment, mode in MOMENTS_AND_MODES]
    found = stage.play([fault for fault in faults if ONLY in {None, str(fault)}])
    wrong = {fault: broken for fault, broken in found.items() if broken}
    assert not wrong, _listed(wrong)


def _listed(wrong: Mapping[Fault, list[str]]) -> str:
    return "\n".join(f'FAULT_POINT="{fault}"\n  ' + "\n  ".join(broken) for fault, broken in wrong.items())
