"""Files that containers mount from the host: those of a commit that serves no more go with its containers."""

from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.preview.state import State
from tests.support.apps import tiny
from tests.support.world import FIRST, SECOND, World
from worker.containers.host_files import binds_folder, copies_folder, discard_files, index_file, secrets_folder

COMPOSE = """\
services:
  app:
    build: .
    expose: ["8000"]
    configs: [settings]
  side:
    image: redis:7
    configs: [same]
configs:
  settings: {content: SETTINGS}
  same: {content: always the same}
"""


@pytest.fixture
def world(database: AsyncEngine, tmp_path: Path) -> World:
    made = World(database, tmp_path)
    made.files = files("first")
    return made


def files(settings: str) -> dict[str, bytes]:
    return tiny(compose=COMPOSE.replace("SETTINGS", settings))


def contents(world: World) -> set[str]:
    return {path.read_text() for path in secrets_folder(world.context.settings, world.preview).iterdir()}


def indexes(world: World) -> set[str]:
    return {path.stem for path in binds_folder(world.context.settings, world.preview).glob("*.json")}


async def test_a_push_leaves_no_file_of_the_commit_before(world: World) -> None:
    await world.hint()
    assert (await world.converge()).state is State.READY
    assert (contents(world), indexes(world)) == ({"first", "always the same"}, {FIRST})
    world.files = files("second")
    await world.change(head_commit=SECOND)
    assert (await world.converge()).serving_commit == SECOND
    assert (contents(world), indexes(world)) == ({"second", "always the same"}, {SECOND})


async def test_a_commit_that_fails_leaves_the_files_of_the_one_that_serves(world: World) -> None:
    await world.hint()
    await world.converge()
    world.files = files("second")

    async def before(name: str) -> None:
        if name == "start":
            raise RuntimeError("the machine was pulled from the wall")

    world.before = before
    await world.change(head_commit=SECOND)
    await world.converge()
    assert "second" in contents(world), "it is tried again, and nothing was withdrawn"
    await world.change(draft=True)
    await world.converge()
    assert (contents(world), indexes(world)) == ({"first", "always the same"}, {FIRST})


def test_what_is_mounted_stays_whatever_commit_it_is_of(world: World) -> None:
    settings, preview = world.context.settings, world.preview
    copies, secrets = copies_folder(settings, preview), secrets_folder(settings, preview)
    for folder in (copies / "kept", copies / "gone", secrets):
        folder.mkdir(parents=True)
        (folder / "file").write_text("x")
    (copies / "link").symlink_to(secrets)
    for commit in (FIRST, SECOND):
        index_file(settings, preview, commit).write_text("{}")
    discard_files(settings, preview, {str(copies / "kept"), str(secrets / "file")}, {SECOND})
    assert [path.name for path in copies.iterdir()] == ["kept"]
    assert [path.name for path in secrets.iterdir()] == ["file"]
    assert indexes(world) == {SECOND}
    discard_files(settings, preview, (), ())
    assert [*copies.iterdir(), *secrets.iterdir(), *indexes(world)] == []
