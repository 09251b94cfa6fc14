"""What is killed while it comes up, as by a restart of the Docker Engine, is not the commit's fault; not at first."""

from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.preview.records import Preview
from orchestrator.preview.state import State
from orchestrator.store.tables import previews
from tests.support.fake_engine import Program
from tests.support.world import World

KILLED = Program(exit_code=137, lines=("Killed",))


@pytest.fixture
async def world(database: AsyncEngine, tmp_path: Path) -> World:
    world = World(database, tmp_path)
    world.engine.programs[()] = KILLED
    await world.hint()
    return world


async def try_again(world: World, database: AsyncEngine) -> Preview:
    async with database.begin() as connection:
        await connection.execute(update(previews).values(retry_at=None))
    return await world.converge()


async def test_what_was_killed_is_started_again(world: World, database: AsyncEngine) -> None:
    preview = await world.converge()
    assert preview.state is State.QUEUED
    assert "was killed while it came up (exit code 137); trying again" in preview.reason
    world.engine.programs.clear()
    assert (await try_again(world, database)).state is State.READY


async def test_what_is_killed_every_time_is_the_commits_fault(world: World, database: AsyncEngine) -> None:
    for _ in range(2):
        assert (await world.converge()).state is State.QUEUED
        preview = await try_again(world, database)
    assert preview.state is State.FAILED
    assert "exited with code 137" in preview.reason
