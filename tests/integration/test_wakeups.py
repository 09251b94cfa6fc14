"""A wake-up is heard, not found by asking; and a sweep that would find nothing asks one question only."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.preview.state import State
from orchestrator.runtime.queue import open_queue
from tests.support.wait import eventually
from tests.support.world import World
from worker.jobs import wakeups
from worker.jobs.sweep import sweep
from worker.jobs.wakeups import listen


@asynccontextmanager
async def hearing(world: World, url: str) -> AsyncIterator[None]:
    """A worker that hears, and does not sweep."""
    task = asyncio.create_task(listen(world.context, url))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await world.context.tasks.end()


async def test_a_wake_up_is_heard_long_before_the_queue_is_looked_into(
    database: AsyncEngine, tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups, "POLL_SECONDS", 300.0)
    world = World(database, tmp_path)
    queue = open_queue(redis_url)
    world.context = replace(world.context, queue=queue)
    try:
        async with hearing(world, redis_url):
            for number in (7, 8):  # what comes before anybody listens, and what is heard
                world.turn_to(number)
                await world.hint()
                await queue.wake(world.preview, 1)
                await eventually(lambda: _is_ready(world), f"preview {number} is ready")
    finally:
        await queue.close()


async def _is_ready(world: World) -> bool:
    found = await world.queries.preview(world.preview)
    return found is not None and found.state is State.READY


async def test_the_sweep_asks_one_question_while_there_is_nothing_to_do(world: World) -> None:
    idle = cast("Any", SimpleNamespace(sweep=world.store.sweep))  # it has no other topic that could be asked
    await sweep(replace(world.context, store=idle))
    await world.hint()
    assert await world.store.sweep.finds_work(), "it has work"
    await world.converge()
    assert await world.store.sweep.finds_work(), "nobody was told of it"
    told = await world.store.reports.begin(world.preview)
    assert told is not None
    assert not await world.store.sweep.finds_work(), "somebody tells of it now"


@pytest.fixture
def world(database: AsyncEngine, tmp_path: Path) -> World:
    return World(database, tmp_path)
