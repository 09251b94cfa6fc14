"""The gate stands before every side effect: whatever changes, and whenever, nothing more happens for the old commit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.preview.errors import OperatorError, TemporaryError, Unavailable
from orchestrator.preview.state import State
from tests.support.context import MemoryContext
from tests.support.world import FIRST, REMOVALS, SECOND, World
from worker.converge import MAX_TEMPORARY_ATTEMPTS

EFFECTS = 10
"""Side effects of one deployment of the world's stack; a test below holds the number."""

SIDE_BY_SIDE = 2
"""The stack's two services are built, made and started side by side: both may have been allowed when one begins."""

CHANGES: dict[str, dict[str, Any]] = {
    "a push": {"head_commit": SECOND},
    "a close": {"open": False},
    "a draft": {"draft": True},
    "a deleted fork": {"head_repository": None},
}


@pytest.fixture
def world(database: AsyncEngine, tmp_path: Path) -> World:
    return World(database, tmp_path)


class Moment:
    """When the world changed, counted in side effects."""

    under_way: int
    """How many side effects had been allowed by then: a slow change lets a sibling of the one at hand go on."""


def at(world: World, number: int, act: Callable[[], Any]) -> Moment:
    """Have `act` happen right before the side effect of this number."""
    seen, moment = 0, Moment()

    async def before(_: str) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            await act()
            moment.under_way = len(world.effects) + SIDE_BY_SIDE

    world.before = before
    return moment


async def test_a_deployment_has_the_side_effects_that_are_counted_here(world: World) -> None:
    await world.hint()
    preview = await world.converge()
    assert (preview.state, preview.serving_commit) == (State.READY, FIRST)
    assert len(world.effects) == EFFECTS, [name for name, _ in world.effects]


@pytest.mark.parametrize("number", range(1, EFFECTS + 1))
@pytest.mark.parametrize("change", list(CHANGES))
async def test_nothing_more_happens_for_a_commit_that_may_no_longer_run(world: World, change: str, number: int) -> None:
    """The effect that is under way when the world changes was allowed; the next one for that commit is not."""
    await world.hint()
    moment = at(world, number, lambda: world.change(**CHANGES[change]))
    preview = await world.converge()
    after = world.effects[moment.under_way :]
    named = [(name, what) for name, what in after if FIRST[:12] in what and name not in REMOVALS]
    assert named == []
    match change:
        case "a push":
            assert (preview.state, preview.serving_commit) == (State.READY, SECOND)
        case "a close":
            assert preview.state is State.REMOVED
            assert await world.leftovers() == []
        case _:
            assert preview.state is State.WAITING
            assert [name for name, _ in after if name not in REMOVALS] == []
            assert "container" not in await world.leftovers(), "what was on its way up was taken back"


@pytest.mark.parametrize("number", range(1, EFFECTS + 1))
async def test_a_worker_that_lost_its_lease_does_nothing_more(world: World, number: int) -> None:
    await world.hint()
    moment = at(world, number, world.steal_lease)
    preview = await world.converge()
    assert preview.state is not State.READY
    assert number <= len(world.effects) <= moment.under_way


@pytest.mark.parametrize("number", range(1, EFFECTS + 1))
@pytest.mark.parametrize("kind", [TemporaryError, OperatorError, RuntimeError])
async def test_a_fault_anywhere_is_recovered_from(world: World, kind: type[Exception], number: int) -> None:
    await world.hint()

    async def fail() -> None:
        raise kind("the disk is full")

    at(world, number, fail)
    await world.converge()
    await world.hint()  # also ends the pause before the next attempt
    preview = await world.converge()
    assert (preview.state, preview.serving_commit) == (State.READY, FIRST), preview.reason
    await world.change(open=False)
    assert (await world.converge()).state is State.REMOVED
    assert await world.leftovers() == []


async def _tries_until_it_gives_up(world: World, database: AsyncEngine, error: Exception) -> int:
    """How often a deployment is tried whose containers do not start; no pause is waited for. 30 stands for ever."""

    async def before(name: str) -> None:
        if name == "start":
            raise error

    world.before = before
    await world.hint()
    for tries in range(1, 30):
        if (await world.converge()).state is State.FAILED:
            return tries
        async with database.begin() as connection:
            await connection.execute(text("UPDATE previews SET retry_at = NULL"))
    return 30


async def test_a_fault_that_does_not_pass_is_told_in_the_engines_words(world: World, database: AsyncEngine) -> None:
    assert await _tries_until_it_gives_up(world, database, TemporaryError("no such thing")) == MAX_TEMPORARY_ATTEMPTS
    preview = await world.queries.preview(world.preview)
    assert preview is not None
    assert preview.reason == "no such thing"
    assert "container" not in await world.leftovers()
    world.before = World(database, world.context.settings.data_dir).before
    await world.change(head_commit=SECOND)
    assert (await world.converge()).state is State.READY


async def test_what_is_away_is_waited_for_and_is_no_attempt(world: World, database: AsyncEngine) -> None:
    assert await _tries_until_it_gives_up(world, database, Unavailable("the Engine is away")) == 30
    assert (await world.row()).attempts == 0


async def test_an_image_that_another_worker_built_again_meanwhile_is_launched_again(world: World) -> None:
    """Two workers may build one image at once: the second takes its name from the first while that is launched."""

    async def build_again(name: str) -> None:
        if name == "start" and len(world.engine.built) == 1:
            await world.engine.build(world.engine.built[0], MemoryContext(), unread)

    async def unread(_: str) -> None:
        """Nobody reads it."""

    world.before = build_again
    await world.hint()
    await world.converge()
    await world.hint()  # also ends the pause before the next attempt
    preview = await world.converge()
    assert (preview.state, preview.serving_commit) == (State.READY, FIRST), preview.reason


async def test_a_forge_that_is_away_stops_nothing_that_serves(world: World) -> None:
    await world.hint()
    await world.converge()
    world.forge_is_away = True
    await world.change(head_commit=SECOND)
    await world.converge()
    preview = await world.queries.preview(world.preview)
    assert preview is not None
    assert (preview.state, preview.serving_commit) == (State.READY, FIRST)
    world.forge_is_away = False
    await world.hint()
    assert (await world.converge()).serving_commit == SECOND


async def test_a_hint_that_changes_nothing_does_nothing(world: World) -> None:
    await world.hint()
    await world.converge()
    before = list(world.effects)
    await world.hint()
    assert (await world.converge()).state is State.READY
    assert world.effects == before


async def test_a_reopened_pull_request_starts_afresh(world: World) -> None:
    await world.hint()
    await world.converge()
    await world.change(open=False)
    await world.converge()
    await world.change(open=True)
    assert (await world.converge()).state is State.READY


async def test_who_may_no_longer_run_does_not_run_on(world: World) -> None:
    await world.hint()
    await world.converge()
    world.permission = "read"
    await world.hint()
    preview = await world.converge()
    assert (preview.state, preview.serving_commit) == (State.WAITING, None)
    assert "container" not in await world.leftovers()


async def test_a_draft_keeps_what_ran_with_leave(world: World) -> None:
    await world.hint()
    await world.converge()
    await world.change(draft=True, head_commit=SECOND)
    preview = await world.converge()
    assert (preview.state, preview.serving_commit) == (State.WAITING, FIRST)
    assert (await world.leftovers()).count("container") == 2


REMOVALS_OF_A_PREVIEW = 6
"""Without that of its image, which others may use: a removal does not wait for it."""


@pytest.mark.parametrize("number", range(1, REMOVALS_OF_A_PREVIEW + 1))
async def test_a_removal_that_was_cut_short_is_finished_though_the_pull_request_is_open_again(
    world: World, database: AsyncEngine, number: int
) -> None:
    await world.hint()
    await world.converge()

    seen: list[str] = []

    async def before(name: str) -> None:
        seen.append(name) if name != "remove_image" else None
        if len(seen) == number and name != "remove_image":
            raise TemporaryError("the Engine is away")

    world.before = before
    await world.change(open=False)
    assert (await world.converge()).state is State.REMOVING
    world.before = World(database, world.context.settings.data_dir).before
    await world.change(open=True)
    preview = await world.converge()
    assert (preview.state, preview.serving_commit) == (State.READY, FIRST)
    reasons = [change.target for change in await world.queries.transitions(world.preview)]
    assert State.REMOVED in reasons, "its database was removed before it was made anew"


@pytest.mark.parametrize("field", ["mem_limit: ${DATABASE_URL}", "volumes: ['/${JWT_SECRET}:/x']"])
async def test_no_secret_is_told_by_an_error_that_quotes_the_file(world: World, field: str) -> None:
    world.files["compose.yaml"] = f"services:\n  app:\n    build: .\n    {field}\n".encode()
    await world.hint()
    preview = await world.converge()
    assert preview.state is State.FAILED
    row = await world.row()
    told = f"{preview.reason}{await world.queries.deployments(world.preview)}"
    for secret in world.context.encryption.open(row.secrets).values():
        assert secret not in told


async def test_a_deployment_that_was_proven_but_not_closed_is_closed_as_ready(
    world: World, database: AsyncEngine
) -> None:
    await world.hint()
    await world.converge()
    async with database.begin() as connection:
        await connection.execute(text("UPDATE deployments SET outcome = NULL"))
    await world.hint()
    await world.converge()
    assert [found.outcome for found in await world.queries.deployments(world.preview)] == ["ready"]
