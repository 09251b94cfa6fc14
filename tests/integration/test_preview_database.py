"""What becomes of a preview's database: pushes keep data and never break what works. Everything but our own Postgres
is in memory, so that each run can be cut short before every single side effect."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.preview.errors import TemporaryError
from orchestrator.preview.state import PreviewId, State
from tests.support.apps import tiny
from tests.support.migrating import BROKEN, MigratingWorld
from tests.support.world import FIRST, SECOND
from worker import admission

THIRD = "c" * 40
MAIN, LATER_MAIN = "d" * 40, "e" * 40
EFFECTS_OF_A_MIGRATION = 10
"""Side effects of a push that migrates, the drop of the snapshot included; a test below holds the number."""


@pytest.fixture
def world(database: AsyncEngine, tmp_path: Path) -> MigratingWorld:
    return MigratingWorld(database, tmp_path)


async def live(world: MigratingWorld) -> None:
    """Have the first commit serve, with a visitor's data in its database."""
    await world.hint()
    preview = await world.converge()
    assert (preview.state, preview.serving_commit) == (State.READY, FIRST), preview.reason
    world.database_of().data.add("a visitor's")


async def notes(world: MigratingWorld) -> str:
    newest, *_ = await world.queries.deployments(world.preview)
    return "\n".join(newest.notes)


def failing_at(
    world: MigratingWorld, number: int, fault: type[Exception] = TemporaryError
) -> Callable[[str], Awaitable[None]]:
    """Raise right before the side effect of this number, once."""
    seen = 0

    async def before(_: str) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            raise fault("the machine was pulled from the wall")

    return before


# Pushes


async def test_a_push_without_a_new_migration_touches_nothing(world: MigratingWorld) -> None:
    await live(world)
    world.effects.clear()
    await world.change(head_commit=SECOND)
    assert (await world.converge()).serving_commit == SECOND
    assert not {"snapshot", "reset", "restore"} & {name for name, _ in world.effects}
    assert "a visitor's" in world.database_of().data


async def test_a_push_with_a_new_migration_keeps_the_data(world: MigratingWorld) -> None:
    await live(world)
    world.effects.clear()
    world.migrate("0002", "0001")
    await world.change(head_commit=SECOND)
    assert (await world.converge()).serving_commit == SECOND
    names = [name for name, _ in world.effects]
    assert names.index("snapshot") < names.index("start"), "there is a way back before the migration runs"
    assert world.snapshots() == []
    assert world.held() == ({"a visitor's"}, {"0002"})
    assert (
        len([name for name in names if name not in {"remove_container", "remove_image"}]) == EFFECTS_OF_A_MIGRATION
    ), names


async def test_a_failing_migration_leaves_the_older_commit_its_database(world: MigratingWorld) -> None:
    await live(world)
    world.migrate("0002", "0001", BROKEN)
    await world.change(head_commit=SECOND)
    preview = await world.converge()
    assert (preview.state, preview.serving_commit) == (State.FAILED, FIRST)
    assert world.held() == ({"a visitor's"}, {"0001"})
    assert world.snapshots() == []
    failed, *_ = await world.queries.deployments(world.preview)
    assert "column broken does not exist" in "\n".join(failed.log_tail)
    world.migrate("0002", "0001")
    await world.change(head_commit=THIRD)
    assert (await world.converge()).serving_commit == THIRD
    assert world.held() == ({"a visitor's"}, {"0002"})


async def test_what_visitors_wrote_meanwhile_stays_when_nothing_was_migrated(world: MigratingWorld) -> None:
    await live(world)
    world.migrate("0002", "0001")

    async def write(name: str) -> None:
        if name == "create_container":
            world.database_of().data.add("written meanwhile")
            raise TemporaryError("the disk is full")

    world.before = write
    await world.change(head_commit=SECOND)
    await world.converge()
    world.before = failing_at(world, 0)
    await world.change(draft=True)
    assert (await world.converge()).serving_commit == FIRST
    assert world.database_of().data == {"a visitor's", "written meanwhile"}
    assert world.snapshots() == []


@pytest.mark.parametrize("number", range(1, EFFECTS_OF_A_MIGRATION + 1))
@pytest.mark.parametrize("then", ["again", "draft", "broken push"])
async def test_a_push_that_is_cut_short_anywhere_ends_well(world: MigratingWorld, number: int, then: str) -> None:
    await live(world)
    world.migrate("0002", "0001")
    world.before = failing_at(world, number)
    await world.change(head_commit=SECOND)
    await world.converge()
    world.before = failing_at(world, 0)
    served = (await world.queries.preview(world.preview)).serving_commit  # type: ignore[union-attr]
    match then:
        case "again":
            await world.hint()
            assert (await world.converge()).serving_commit == SECOND
            served = SECOND
        case "draft":
            await world.change(draft=True)
            assert (await world.converge()).state is State.WAITING
        case _:
            world.migrate("0003", "0002", BROKEN)
            await world.change(head_commit=THIRD)
            assert (await world.converge()).state is State.FAILED
    assert world.database_of().revisions == {"0001" if served == FIRST else "0002"}
    assert "a visitor's" in world.database_of().data
    assert world.snapshots() == []


# Resets


async def test_an_edited_migration_resets_and_names_the_file(world: MigratingWorld) -> None:
    await live(world)
    world.migrate("0001", None, "other()")
    await world.change(head_commit=SECOND)
    assert (await world.converge()).serving_commit == SECOND
    assert world.database_of().data == set()
    assert world.database_of().revisions == {"0001"}, "its migrations ran again, though their service is the same"
    assert "alembic/versions/0001_change.py changed" in await notes(world)
    assert world.snapshots() == []


async def test_a_migration_that_was_never_applied_may_be_edited(world: MigratingWorld) -> None:
    await live(world)
    world.migrate("0002", "0001", BROKEN)
    await world.change(head_commit=SECOND)
    await world.converge()
    world.migrate("0002", "0001", "better()")
    await world.change(head_commit=THIRD)
    assert (await world.converge()).serving_commit == THIRD
    assert world.database_of().data == {"a visitor's"}


async def test_a_push_back_behind_an_applied_migration_resets(world: MigratingWorld) -> None:
    await live(world)
    world.migrate("0002", "0001")
    await world.change(head_commit=SECOND)
    await world.converge()
    world.unmigrate("0002")
    await world.change(head_commit=THIRD)
    assert (await world.converge()).serving_commit == THIRD
    assert world.database_of().revisions == {"0001"}
    assert "0002_change.py was applied, and is gone" in await notes(world)


async def test_a_reset_that_does_not_come_up_is_taken_back(world: MigratingWorld) -> None:
    await live(world)
    world.migrate("0001", None, BROKEN)
    await world.change(head_commit=SECOND)
    preview = await world.converge()
    assert (preview.state, preview.serving_commit) == (State.FAILED, FIRST)
    assert world.database_of().data == {"a visitor's"}
    assert world.database_of().revisions == {"0001"}


@pytest.mark.parametrize(
    ("policy", "forced", "edited", "kept"),
    [
        ("never", True, True, True),
        ("always", False, False, False),
        ("on-force-push", False, True, True),
        ("on-force-push", True, False, False),
        ("on-migration-change", True, False, True),
    ],
)
async def test_the_policy_decides(world: MigratingWorld, policy: str, forced: bool, edited: bool, kept: bool) -> None:
    world.files["compose.yaml"] += f"x-preview: {{database: {{reset: {policy}}}}}\n".encode()
    await live(world)
    if edited:
        world.migrate("0001", None, "other()")
    if forced:
        world.forced.add((FIRST, SECOND))
    await world.change(head_commit=SECOND)
    assert (await world.converge()).serving_commit == SECOND
    assert ("a visitor's" in world.database_of().data) is kept


async def test_a_reset_that_was_asked_for_happens_once(world: MigratingWorld) -> None:
    await live(world)
    await world.store.generations.reset(world.preview)
    assert (await world.converge()).state is State.READY
    assert world.held() == (set(), {"0001"})
    assert "asked for" in await notes(world)
    world.database_of().data.add("new")
    await world.hint()
    await world.converge()
    await world.change(head_commit=SECOND)
    await world.converge()
    assert world.database_of().data == {"new"}


@pytest.mark.parametrize("migrates", [True, False])
@pytest.mark.parametrize("moment", ["snapshot", "create_container", "start"])
async def test_a_reset_that_is_asked_for_during_a_deployment_is_not_lost(
    world: MigratingWorld, moment: str, migrates: bool
) -> None:
    await live(world)
    asked = False

    async def ask(name: str) -> None:
        nonlocal asked
        if not asked and name == (moment if migrates else "create_container"):
            asked = True
            await world.store.generations.reset(world.preview)

    world.before = ask
    if migrates:
        world.migrate("0002", "0001")
    await world.change(head_commit=SECOND)
    preview = await world.converge()
    assert (preview.state, preview.serving_commit) == (State.READY, SECOND)
    assert world.held() == (set(), {"0002" if migrates else "0001"})
    assert world.snapshots() == []
    assert "asked for" in await notes(world)


# Templates


async def test_the_second_pull_request_begins_with_what_the_first_made_possible(world: MigratingWorld) -> None:
    await live(world)
    assert "main has no template yet" in await notes(world)
    await world.make_template(MAIN)
    [template] = await world.databases.templates()
    assert template.made_of is not None
    assert template.spare
    assert await world.engine.objects({"dev.previewd.pull": "0"}) == []
    world.databases.databases[template.name].data.add("seed")
    world.turn_to(8)
    world.migrate("0002", "0001")
    await world.hint()
    assert (await world.converge()).state is State.READY
    assert world.held(8) == ({"seed"}, {"0002"})
    assert "copied from main at ddddddd (1 revision)" in await notes(world)


async def test_a_template_that_does_not_fit_is_not_copied(world: MigratingWorld) -> None:
    world.migrate("0002", "0001")
    await live(world)
    await world.make_template(MAIN)
    world.unmigrate("0002")
    world.turn_to(8)
    await world.hint()
    assert (await world.converge()).state is State.READY
    assert "main's template is at revision 0002, which this commit does not know" in await notes(world)
    world.migrate("0002", "0001", "other()")
    world.turn_to(9)
    await world.hint()
    assert (await world.converge()).state is State.READY
    assert "changes migrations that made main's template" in await notes(world)


async def test_a_template_is_made_anew_when_the_branch_moves(world: MigratingWorld) -> None:
    await live(world)
    await world.make_template(MAIN)
    [first] = await world.databases.templates()
    assert await world.store.templates.branch_moved(812, "main")
    await world.make_template(LATER_MAIN)
    [second] = await world.databases.templates()
    assert first.name != second.name
    assert await world.store.templates.branch_moved(812, "elsewhere") is None


async def test_each_base_branch_has_a_template_also_when_two_are_at_one_commit(world: MigratingWorld) -> None:
    await live(world)
    await world.make_template(MAIN)
    world.turn_to(8)
    world.pull = replace(world.pull, base_branch="next")
    await world.hint()
    await world.converge()
    await world.make_template(MAIN)
    branches = {template.made_of["branch"] for template in await world.databases.templates() if template.made_of}
    assert len(branches) == 2


async def test_a_template_that_cannot_be_made_is_told_and_leaves_nothing(world: MigratingWorld) -> None:
    await live(world)
    world.migrate("0002", "0001", BROKEN)
    await world.make_template(MAIN)
    assert await world.databases.templates() == []
    assert [name for name in world.databases.roles if "_t" in name] == []
    assert await world.engine.objects({"dev.previewd.pull": "0"}) == []
    world.unmigrate("0002")
    world.turn_to(8)
    await world.hint()
    assert (await world.converge()).state is State.READY
    assert "main's template could not be made" in await notes(world)


@pytest.mark.parametrize("number", range(1, 16))
async def test_a_template_that_is_cut_short_anywhere_is_made_in_the_end(world: MigratingWorld, number: int) -> None:
    await live(world)
    world.before = failing_at(world, number)
    await world.make_template(MAIN)
    world.before = failing_at(world, 0)
    await world.store.templates.branch_moved(812, "main")
    await world.make_template(MAIN)
    [template] = await world.databases.templates()
    assert template.made_of is not None
    assert await world.engine.objects({"dev.previewd.pull": "0"}) == []


async def test_pull_requests_come_first(world: MigratingWorld) -> None:
    await live(world)
    await world.change(head_commit=SECOND)
    await world.make_template(MAIN)
    assert await world.databases.templates() == []
    world.turn_to(0)
    assert (await world.row()).attempts == 0, "it waits for as long as it takes"


async def test_a_template_waits_for_connections_for_as_long_as_it_takes(world: MigratingWorld) -> None:
    world.databases.max_connections = 35
    await live(world)
    await world.make_template(MAIN)
    world.turn_to(0)
    row = await world.row()
    assert (row.state, row.attempts) == (State.QUEUED, 0)
    assert "20 of them are promised" in row.reason


async def test_the_last_pull_request_takes_the_template_with_it(world: MigratingWorld) -> None:
    await live(world)
    await world.make_template(MAIN)
    await world.change(open=False)
    await world.converge()
    await world.make_template(MAIN)
    assert world.databases.databases == {}
    assert world.databases.roles == {}
    assert await world.queries.owners() == set()
    assert PreviewId(812, 0) not in {preview.id for preview in await world.queries.all()}


async def test_what_a_template_should_not_hold_is_scrubbed(world: MigratingWorld) -> None:
    world.files["compose.yaml"] += b"x-preview: {database: {scrub: db/scrub.sql}}\n"
    world.files["db/scrub.sql"] = b"DELETE FROM people"
    await live(world)
    await world.make_template(MAIN)
    [template] = await world.databases.templates()
    assert "DELETE FROM people" in world.databases.databases[template.name].data
    names = [name for name, _ in world.effects]
    assert names.index("run_script") < names.index("finish_template")


async def test_who_wants_no_template_gets_none(world: MigratingWorld) -> None:
    world.files["compose.yaml"] += b"x-preview: {database: {template: empty}}\n"
    await live(world)
    await world.make_template(MAIN)
    assert await world.databases.templates() == []


# The line for connections


async def test_thirty_pull_requests_on_a_hundred_connections_are_live_or_wait(world: MigratingWorld) -> None:
    world.databases.max_connections = 100
    everybody = range(1, 31)
    states = {}
    for number in everybody:
        world.turn_to(number)
        await world.hint()
        states[number] = await world.converge()
    live = [number for number, preview in states.items() if preview.state is State.READY]
    assert live == [1, 2, 3, 4]
    assert {states[number].state for number in everybody if number not in live} == {State.WAITING}
    assert "first in line: the previews' Postgres has 87 connections to give" in states[5].reason
    assert "number 26 in line" in states[30].reason


async def test_the_line_moves_up_when_somebody_leaves(world: MigratingWorld) -> None:
    world.databases.max_connections = 35
    for number in (7, 8, 9):
        world.turn_to(number)
        await world.hint()
        await world.converge()
    world.turn_to(10)
    await world.hint()
    assert (await world.converge()).state is State.WAITING
    world.turn_to(7)
    await world.change(open=False)
    await world.converge()
    await admission.move_up(world.context)
    due = [preview.number for preview, _ in await world.store.generations.due() if not preview.is_template]
    assert due == [8], "the one that came first, and nobody else"
    assert "second in line" in (await world.queries.preview(PreviewId(812, 9))).reason  # type: ignore[union-attr]
    world.pull = replace(world.pull, open=True)
    world.turn_to(10)
    await world.hint()
    assert (await world.converge()).state is State.WAITING, "who comes now does not pass those who wait"
    world.turn_to(8)
    assert (await world.converge()).state is State.READY
    await admission.move_up(world.context)
    assert "first in line" in (await world.queries.preview(PreviewId(812, 9))).reason  # type: ignore[union-attr]


async def test_a_live_preview_does_not_wait_for_its_own_connections(world: MigratingWorld) -> None:
    world.databases.max_connections = 35
    await live(world)
    world.turn_to(8)
    await world.hint()
    assert (await world.converge()).state is State.WAITING
    world.turn_to(7)
    await world.change(head_commit=SECOND)
    assert (await world.converge()).serving_commit == SECOND


WITHOUT_ALEMBIC = """\
services:
  app:
    build: .
    expose: ["8000"]
    environment: {DATABASE_URL: "postgresql://u:p@db:5432/app"}
  db:
    image: postgres:16
"""


@pytest.mark.parametrize(("more", "told"), [({}, False), ({"migrations/0001_first.sql": b"SELECT 1;"}, True)])
async def test_why_nothing_was_copied_is_told_only_where_a_copy_was_to_be_expected(
    world: MigratingWorld, more: dict[str, bytes], told: bool
) -> None:
    world.files = {**tiny(compose=WITHOUT_ALEMBIC), **more}
    await world.hint()
    preview = await world.converge()
    assert preview.state is State.READY, preview.reason
    assert ("without migrations of Alembic" in await notes(world)) is told
    assert ("the database began" in await notes(world)) is told
