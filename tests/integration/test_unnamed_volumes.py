"""Volumes that nobody named: they are a preview's like everything else, and none outlives it, whoever is killed."""

from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.ports.engine import Image
from orchestrator.preview.names import Names
from orchestrator.preview.state import State
from tests.support.apps import tiny
from tests.support.world import SECOND, World

COMPOSE = """\
services:
  app:
    build: .
    expose: ["8000"]
    volumes: [/scratch]
    depends_on: [cache]
  cache:
    image: redis:7
  reader:
    image: redis:7
    volumes_from: [cache]
"""
REDIS = Image(id="sha256:redis", exposed_ports=(6379,), volumes=("/data",))
EFFECTS = 11
"""Side effects of one deployment of this stack."""


class Killed(BaseException):
    """The worker is no more: nothing of it runs from here on."""


@pytest.fixture
def world(database: AsyncEngine, tmp_path: Path) -> World:
    made = World(database, tmp_path)
    made.files = tiny(compose=COMPOSE)
    made.engine.registry = {"redis:7": REDIS}
    return made


async def nothing(_: str) -> None:
    """Let it happen."""


async def volumes(world: World) -> list[str]:
    labels = Names(instance=world.context.settings.instance, preview=world.preview).labels()
    return [found.name for found in await world.engine.objects(labels) if found.kind == "volume"]


async def test_every_volume_says_whose_it_is(world: World) -> None:
    await world.hint()
    assert (await world.converge()).state is State.READY
    assert len(await volumes(world)) == 2, "the image's, once, and the file's: what is taken over is not covered"


async def test_a_push_keeps_those_of_what_it_does_not_change(world: World) -> None:
    await world.hint()
    await world.converge()
    before = await volumes(world)
    world.files["app.py"] = b"changed = True\n"
    await world.change(head_commit=SECOND)
    assert (await world.converge()).serving_commit == SECOND
    assert len(set(before) & set(await volumes(world))) == 1, "the cache's; the application's container is another"
    assert len(await volumes(world)) == 2


@pytest.mark.parametrize("number", range(1, EFFECTS + 1))
async def test_none_is_left_by_a_worker_that_was_killed(world: World, number: int) -> None:
    seen = 0

    async def die(_: str) -> None:
        nonlocal seen
        seen += 1
        if seen >= number:
            raise Killed

    world.before = die
    await world.hint()
    with pytest.raises((Killed, BaseExceptionGroup)):
        await world.converge()
    world.before = nothing
    await world.change(open=False)
    assert (await world.converge()).state is State.REMOVED
    assert await world.leftovers() == []


async def test_one_whose_container_is_gone_goes_with_the_preview(world: World) -> None:
    await world.hint()
    await world.converge()
    world.engine.lose_containers()
    assert len(await volumes(world)) == 2
    await world.change(open=False)
    await world.converge()
    assert await world.leftovers() == []
