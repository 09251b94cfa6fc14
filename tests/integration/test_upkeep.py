"""What the worker does for databases by itself: it watches them, and takes their backups."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.databases.limits import Fill
from orchestrator.databases.sessions import EndedSession
from orchestrator.preview.records import Wiring
from orchestrator.preview.state import State
from orchestrator.store.dumps import folder
from tests.support.world import World
from worker.upkeep.backups import back_up
from worker.upkeep.watchdog import watch

NAME = "previewd_812_7"


@pytest.fixture
async def world(database: AsyncEngine, tmp_path: Path) -> World:
    """With a live preview."""
    world = World(database, tmp_path)
    await world.hint()
    assert (await world.converge()).state is State.READY
    return world


async def test_the_comment_is_written_anew_only_when_there_is_something_else_to_say(world: World) -> None:
    limit = world.databases.limits.bytes
    changed = []
    for size in (10, limit // 2, limit * 9 // 10, limit * 19 // 20, limit + 1, limit + 2, 10):
        before = (await world.row()).updated_at
        world.databases.databases[NAME].bytes = size
        await watch(world.context)
        changed.append((await world.row()).updated_at > before)
    assert changed == [False, False, True, False, True, False, True]
    use = await world.store.usage.of(world.preview)
    assert use is not None
    assert (use.bytes, use.fill, use.connection_limit) == (10, Fill.FINE, 20)


async def test_the_server_as_a_whole_is_measured(world: World) -> None:
    await watch(world.context)
    server = await world.store.usage.server()
    assert server is not None
    assert server.told == "20 of 987 database connections promised, to 1 databases; 0 in use"


async def test_a_session_that_was_ended_is_said_where_people_look(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    policed = await world.databases.police()
    ended = EndedSession(role=NAME, database=NAME, reason="idle in transaction for 612 s")

    async def police() -> object:
        return replace(policed, ended=(ended,))

    monkeypatch.setattr(world.databases, "police", police)
    await watch(world.context)
    use = await world.store.usage.of(world.preview)
    assert use is not None
    assert use.ended == ended.reason
    (newest,) = await world.queries.deployments(world.preview, limit=1)
    assert ended.reason in (await world.queries.log_end(newest.id))[-1].line


async def test_how_the_stack_came_to_its_database_is_kept_without_a_secret(world: World) -> None:
    (newest,) = await world.queries.deployments(world.preview, limit=1)
    assert newest.wiring != Wiring()
    (password,) = [
        value for key, value in world.context.encryption.open((await world.row()).secrets).items() if "password" in key
    ]
    assert password not in str(newest.wiring)
    assert {value.variable for value in newest.wiring.values} >= {"DATABASE_URL", "ALEMBIC_DATABASE_URL"}


async def test_backups_are_taken_when_they_are_due_and_the_oldest_go(world: World, database: AsyncEngine) -> None:
    rows, directory = world.store.backups, folder(world.context.settings, world.preview)
    await rows.schedule(world.preview, timedelta(hours=24), keep=2)
    for round_ in range(3):
        world.databases.databases[NAME].data = {f"row {round_}"}
        await back_up(world.context)
        await back_up(world.context)  # nothing is due
        await _make_due(database)
    found = await rows.of(world.preview)
    assert [(directory / backup.file).read_text() for backup in found] == ["row 2", "row 1"]
    assert sorted(path.name for path in directory.iterdir()) == sorted(backup.file for backup in found)
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}


async def test_a_backup_that_fails_is_listed_leaves_nothing_and_is_tried_again_before_long(
    world: World, database: AsyncEngine
) -> None:
    rows, directory = world.store.backups, folder(world.context.settings, world.preview)
    await rows.schedule(world.preview, timedelta(hours=24), keep=2)
    kept = world.databases.databases.pop(NAME)
    await back_up(world.context)
    (failed,) = await rows.of(world.preview)
    assert (failed.file, failed.error) == ("", f"there is no database {NAME}")
    assert list(directory.iterdir()) == []
    async with database.connect() as connection:
        wait = await connection.scalar(text("SELECT due_at - now() FROM backup_schedules"))
    assert wait < timedelta(minutes=11)
    world.databases.databases[NAME] = kept
    await _make_due(database)
    await back_up(world.context)
    assert [bool(backup.file) for backup in await rows.of(world.preview)] == [True]


async def test_backups_go_with_their_preview(world: World) -> None:
    await world.store.backups.schedule(world.preview, timedelta(hours=24), keep=2)
    await back_up(world.context)
    await world.change(open=False)
    assert (await world.converge()).state is State.REMOVED
    assert not folder(world.context.settings, world.preview).exists()
    assert await world.store.backups.of(world.preview) == []
    assert await world.store.backups.schedule_of(world.preview) is None


async def _make_due(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        await connection.execute(text("UPDATE backup_schedules SET due_at = now()"))
