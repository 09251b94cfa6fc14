"""Any sequence of what happens on GitHub, on the way here, and to workers: whenever it comes to rest, all is as GitHub
says. Hypothesis thinks of the sequences and shortens those that fail; the forge of the world is the oracle.

STATE_MACHINE_MINUTES says how long it is played; without it, as many steps as a test run has time for.
"""

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import pytest
import uvloop
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from orchestrator.runtime.settings import asyncpg_url
from orchestrator.store.connection import connect
from tests.support import invariants
from tests.support.faults import ANY_CALL, Fault, Mode, Moment, Place
from tests.support.mortal import Mortal
from tests.support.scene import Scene, work
from tests.support.web_door import Door

MINUTES = float(os.environ.get("STATE_MACHINE_MINUTES") or 0)
STEPS = 2000
STEPS_OF_ONE_LIFE = 40
SMALL = b"services: {app: {build: ., expose: ['8000']}}\n"
NUMBERS = st.sampled_from([7, 8])
LAST_CALL = 120
"""A deployment has about so many calls."""


class Stage:
    """The event loop and the database of all lives, and how many steps they had."""

    def __init__(self, url: str, data_dir: Path, patch: pytest.MonkeyPatch) -> None:
        self.runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self.database: AsyncEngine = connect(asyncpg_url(SecretStr(url)))
        self.door = Door(self.database, patch)
        self.data_dir = data_dir
        self.steps = 0

    def run(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)


class Life(RuleBasedStateMachine):
    """Two pull requests of one repository, and whoever works on them."""

    stage: ClassVar[Stage]

    def __init__(self) -> None:
        super().__init__()
        self.scene = Scene.set(self.stage.database, self.stage.data_dir)
        self.world = self.scene.world
        self.world.files["compose.yaml"] = SMALL
        self.template = self.world.pull
        self.world.pulls.clear()
        self.stage.door.post.of[self.world.preview.repository] = self.scene.redis
        self.on_their_way: list[tuple[str, str, int]] = []
        """Deliveries: id, action, number of the pull request."""
        self.commits: list[str] = []

    # On GitHub

    @rule(number=NUMBERS)
    def open(self, number: int) -> None:
        if number not in self.world.pulls:
            opened = replace(self.template, number=number, head_commit=self._commit())
            self._happens(number, "opened", opened)

    @rule(number=NUMBERS)
    def push(self, number: int) -> None:
        if number in self.world.pulls:
            self._happens(number, "synchronize", replace(self.world.pulls[number], head_commit=self._commit()))

    @rule(number=NUMBERS, data=st.data())
    def push_an_older_commit(self, number: int, data: st.DataObject) -> None:
        if number in self.world.pulls:
            older = data.draw(st.sampled_from(self.commits))
            self._happens(number, "synchronize", replace(self.world.pulls[number], head_commit=older))

    @rule(number=NUMBERS)
    def close_or_reopen(self, number: int) -> None:
        if number in self.world.pulls:
            pull = self.world.pulls[number]
            self._happens(number, "closed" if pull.open else "reopened", replace(pull, open=not pull.open))

    @rule(number=NUMBERS)
    def draft_or_ready(self, number: int) -> None:
        if number in self.world.pulls:
            pull = self.world.pulls[number]
            action = "ready_for_review" if pull.draft else "converted_to_draft"
            self._happens(number, action, replace(pull, draft=not pull.draft))

    @rule(number=NUMBERS)
    def label(self, number: int) -> None:
        if number in self.world.pulls:
            self._happens(number, "labeled", self.world.pulls[number])

    @rule(permission=st.sampled_from(["write", "write", "read"]))
    def change_permission(self, permission: str) -> None:
        """GitHub sends nothing about it; somebody labels what is open."""
        self.world.permission = permission
        for number, pull in list(self.world.pulls.items()):
            self._happens(number, "labeled", pull)

    # On the way

    @precondition(lambda self: self.on_their_way)
    @rule(data=st.data(), times=st.sampled_from([1, 1, 2]))
    def deliver(self, data: st.DataObject, times: int) -> None:
        """Any of them, whatever came before it; some twice."""
        delivery = data.draw(st.sampled_from(self.on_their_way))
        self.on_their_way.remove(delivery)
        for _ in range(times):
            self._deliver(delivery)

    @precondition(lambda self: self.on_their_way and self.on_their_way[-1][1] != "labeled")
    @rule()
    def lose(self) -> None:
        """It never comes. Whoever lists what is open misses it, but for a permission, of which no list tells."""
        self.on_their_way.pop()

    # Here

    @rule()
    def work(self) -> None:
        self._step()
        self.stage.run(work(self.world.context, self.scene.redis))

    @rule(mode=st.sampled_from(Mode), moment=st.sampled_from(Moment), call=st.integers(1, LAST_CALL))
    def work_and_be_struck(self, mode: Mode, moment: Moment, call: int) -> None:
        self._step()
        self.stage.run(self._be_struck(Fault("a call", moment, mode), Place(ANY_CALL, call)))

    @rule()
    def rest(self) -> None:
        """What is on its way comes; then all comes to an end."""
        self._step()
        for delivery in self.on_their_way:
            self._deliver(delivery)
        self.on_their_way = []
        self.stage.run(self.scene.settle())
        broken = self.stage.run(invariants.broken(self.world, self.scene.database))
        assert not broken, "\n".join(broken)

    def teardown(self) -> None:
        try:
            self.rest()
        finally:
            self.stage.run(self.scene.clear())

    async def _be_struck(self, fault: Fault, place: Place) -> None:
        worker = Mortal(self.world, self.scene.redis, self.scene.database, place, fault)
        await worker.live()
        await self.scene.expire_leases()
        if worker.is_frozen:
            await self.scene.settle()
            await worker.thaw()
        self.scene.redis.is_down = False

    def _happens(self, number: int, action: str, pull: Any) -> None:
        self._step()
        self.world.pull = pull
        self.on_their_way.append((str(uuid4()), action, number))

    def _deliver(self, delivery: tuple[str, str, int]) -> None:
        self._step()
        guid, action, number = delivery
        answer = None
        while answer != 202:
            answer = self.stage.run(self.stage.door.deliver(self.world.pulls[number], action, guid))

    def _commit(self) -> str:
        """Every other one changes what runs."""
        commit = f"{len(self.commits) + 1:040x}"
        text = f"print({len(self.commits) // 2})".encode()
        self.world.commits[commit] = {**self.world.files, "app.py": text}
        self.commits.append(commit)
        return commit

    def _step(self) -> None:
        self.stage.steps += 1


@pytest.fixture
def stage(module_database_url: str, tmp_path: Path) -> Iterator[Stage]:
    with pytest.MonkeyPatch.context() as patch, capture_logs():
        stage = Stage(module_database_url, tmp_path, patch)
        yield stage
        stage.run(stage.database.dispose())
        stage.runner.close()


@pytest.mark.timeout(0)
def test_whatever_happens_it_ends_as_github_says(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    Life.stage = stage
    lives = settings(
        max_examples=max(1, STEPS // STEPS_OF_ONE_LIFE),
        stateful_step_count=STEPS_OF_ONE_LIFE,
        deadline=None,
        derandomize=False,
        print_blob=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    ends_at = time.monotonic() + 60 * MINUTES
    while stage.steps < STEPS or time.monotonic() < ends_at:
        run_state_machine_as_test(Life, settings=lives)
    with capsys.disabled():
        print(f" {stage.steps} steps", end="")
