"""What cannot be done is not tried without end, whatever state the preview was in: it ends in a state that says why."""

from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.preview.errors import LaunchError, OperatorError, TemporaryError
from orchestrator.preview.records import Preview
from orchestrator.preview.state import State
from orchestrator.store.tables import previews
from tests.support.world import SECOND, World
from worker.converge import MAX_ATTEMPTS, MAX_TEMPORARY_ATTEMPTS

REFUSED = "GitHub refuses to tell the permission: 403"


@pytest.fixture
def world(database: AsyncEngine, tmp_path: Path) -> World:
    return World(database, tmp_path)


async def try_again(world: World, database: AsyncEngine, times: int) -> Preview:
    """Converge so often, with the pauses between the attempts left out."""
    for _ in range(times):
        async with database.begin() as connection:
            await connection.execute(update(previews).values(retry_at=None))
        preview = await world.converge()
    return preview


def refuse_the_permission(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> str:
        raise OperatorError(REFUSED)

    monkeypatch.setattr(world.context.forge, "permission", refuse)


async def test_a_draft_about_which_github_refuses_to_tell_us_fails_with_the_reason(
    world: World, database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.change(draft=True)
    assert (await world.converge()).state is State.WAITING
    refuse_the_permission(world, monkeypatch)
    await world.hint()
    preview = await try_again(world, database, MAX_ATTEMPTS)
    assert (preview.state, preview.reason) == (State.FAILED, REFUSED)
    assert await world.store.generations.due() == []


async def test_a_pull_request_that_was_opened_again_fails_with_the_reason(
    world: World, database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.change(open=False)
    assert (await world.converge()).state is State.REMOVED
    refuse_the_permission(world, monkeypatch)
    await world.change(open=True)
    preview = await try_again(world, database, MAX_ATTEMPTS)
    assert (preview.state, preview.reason) == (State.FAILED, REFUSED)
    assert await world.store.generations.due() == []


async def test_a_commit_that_failed_and_cannot_be_cleaned_up_is_not_deployed_without_end(
    world: World, database: AsyncEngine
) -> None:
    await world.hint()
    assert (await world.converge()).state is State.READY

    async def faulty(effect: str) -> None:
        if effect == "start":
            raise LaunchError("it does not start")
        if effect == "remove_container":
            raise TemporaryError("the container cannot be removed")

    world.before = faulty
    await world.change(head_commit=SECOND)
    preview = await try_again(world, database, MAX_TEMPORARY_ATTEMPTS)
    assert (preview.state, preview.reason) == (State.FAILED, "the container cannot be removed")
    assert await world.store.generations.due() == []
