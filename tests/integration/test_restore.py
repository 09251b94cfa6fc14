"""Our own state is lost and put back from yesterday's dump, while the world has gone on. Both come together again.

What previews have (containers, databases) is as it is now; what we know of it is as it was then. Everything but our
own Postgres is in memory.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.preview.names import Names, instance_labels, preview_of
from orchestrator.preview.state import PreviewId, State
from orchestrator.store.encryption import Encryption
from orchestrator.store.tables import previews
from tests.support import dumps
from tests.support.migrating import BROKEN, MigratingWorld
from tests.support.world import FIRST, SECOND
from worker.converge import converge
from worker.upkeep.housekeeping import keep_house
from worker.upkeep.rounds import make_round

THIRD = "c" * 40
ROUNDS = 20


class RestoredWorld(MigratingWorld):
    """Its state can be taken and put back."""

    async def says(self, number: int, **changes: object) -> None:
        """Something happens to a pull request, and GitHub says so."""
        self.changes(number, **changes)
        self.preview = PreviewId(812, number)
        await self.hint()

    def changes(self, number: int, **changes: object) -> None:
        """Something happens to a pull request, and nobody hears of it."""
        found = self.pulls.get(number, replace(self.pull, number=number, open=True, head_commit=FIRST))
        self.pulls[number] = replace(found, **changes)  # type: ignore[arg-type]

    async def expire_leases(self) -> None:
        """Whoever held one is no more."""
        async with self._database.begin() as connection:
            await connection.execute(update(previews).values(lease_token=None, lease_expires_at=None, retry_at=None))

    async def dump(self) -> dumps.Dump:
        return await dumps.take(self._database)

    async def restore(self, dump: dumps.Dump) -> None:
        await dumps.put_back(self._database, dump)


async def settle(world: RestoredWorld) -> None:
    """Let a worker act until nothing is left to do: what a round of the reconciler finds, and then what is due."""
    for _ in range(ROUNDS):
        await make_round(world.context, ask_forge=True)
        due = await world.store.generations.due()
        if not due:
            return
        for preview, _generation in due:
            await converge(world.context, preview)
    pytest.fail(f"still due after {ROUNDS} rounds: {due}")


async def holds(world: RestoredWorld) -> None:
    """What is open serves its newest commit, what is closed is gone, and there is nothing else."""
    await keep_house(world.context)
    objects = await world.engine.objects(instance_labels("previewd"))
    containers, databases = set(), set()
    for number, pull in world.pulls.items():
        preview = await world.queries.preview(PreviewId(812, number))
        if not pull.open:
            assert preview is None or preview.state is State.REMOVED
            continue
        assert preview is not None
        assert (preview.state, preview.serving_commit) == (State.READY, pull.head_commit), preview.reason
        world.preview = preview.id
        containers |= set((await world.row()).serving_containers)
        databases.add(Names(instance="previewd", preview=preview.id).database)
    assert {found.name for found in objects if found.kind == "container"} == containers
    assert {name for name in world.databases.databases if not _is_template(name)} == databases
    assert set(world.databases.roles) == databases
    open_ones = {PreviewId(812, number) for number, pull in world.pulls.items() if pull.open}
    assert {preview_of(dict(found.labels)) for found in objects if found.kind in {"network", "volume"}} <= open_ones
    assert {found.name for found in objects if found.kind == "image"} <= await world.queries.images()


def _is_template(name: str) -> bool:
    return "_t" in name


@pytest.fixture
def world(database: AsyncEngine, tmp_path: Path) -> RestoredWorld:
    return RestoredWorld(database, tmp_path)


@pytest.fixture
async def yesterday(world: RestoredWorld) -> dumps.Dump:
    """Two pull requests are live, with visitors' data, and one is closed."""
    for number in (7, 8, 9):
        await world.says(number)
    await world.says(9, open=False)
    await settle(world)
    for number in (7, 8):
        world.database_of(number).data.add("a visitor's")
    await holds(world)
    return await world.dump()


async def a_push(world: RestoredWorld) -> None:
    world.migrate("0002", "0001")
    await world.says(7, head_commit=SECOND)


async def a_failed_migration(world: RestoredWorld) -> None:
    world.migrate("0002", "0001", BROKEN)
    await world.says(7, head_commit=SECOND)
    await settle(world)
    world.migrate("0002", "0001")
    await world.says(7, head_commit=THIRD)


async def a_close(world: RestoredWorld) -> None:
    await world.says(7, open=False)


async def a_reset(world: RestoredWorld) -> None:
    await world.store.generations.reset(PreviewId(812, 7))


async def another_life(world: RestoredWorld) -> None:
    """Closed, and opened again: everything that it has is new."""
    await world.says(7, open=False)
    await settle(world)
    await world.says(7, open=True)


async def an_opening(world: RestoredWorld) -> None:
    await world.says(10)


async def everything(world: RestoredWorld) -> None:
    await an_opening(world)
    await world.says(8, open=False)
    await world.says(9, open=True)
    await settle(world)
    await another_life(world)
    await settle(world)
    await a_failed_migration(world)
    await settle(world)
    await a_reset(world)


Happening = Callable[[RestoredWorld], Awaitable[None]]
SPOKEN_OF = {
    "a push": a_push,
    "a failed migration": a_failed_migration,
    "a close": a_close,
    "an opening": an_opening,
    "everything": everything,
}
NOT_SPOKEN_OF = {"a reset": a_reset, "another life": another_life, "everything": everything}


@pytest.mark.parametrize("happened", NOT_SPOKEN_OF.values(), ids=NOT_SPOKEN_OF)
async def test_what_happened_since_is_found_by_itself(
    world: RestoredWorld, yesterday: dumps.Dump, happened: Happening
) -> None:
    await happened(world)
    await settle(world)
    await holds(world)
    await world.restore(yesterday)
    await settle(world)
    await holds(world)


@pytest.mark.parametrize("happened", SPOKEN_OF.values(), ids=SPOKEN_OF)
async def test_what_happened_since_is_put_right_when_github_speaks_of_it(
    world: RestoredWorld, yesterday: dumps.Dump, happened: Happening
) -> None:
    await happened(world)
    await settle(world)
    await holds(world)
    await world.restore(yesterday)
    for number in world.pulls:
        await world.says(number)
    await settle(world)
    await holds(world)
    if happened in {a_push, a_failed_migration}:
        assert world.held() == ({"a visitor's"}, {"0002"}), "it is not taken for a changed migration"


async def test_a_way_back_from_before_the_restore_leads_nowhere(world: RestoredWorld, yesterday: dumps.Dump) -> None:
    """Our numbers begin anew. What was left under one of them is another commit's, and older."""
    await _leave_a_way_back(world)
    await world.restore(yesterday)
    world.database_of().data.add("of today")
    world.migrate("0002", "0001", BROKEN)
    await world.says(7, head_commit=THIRD)
    await settle(world)
    assert world.held() == ({"a visitor's", "of today"}, {"0001"})


async def _leave_a_way_back(world: RestoredWorld) -> None:
    """A worker is killed right after it made one."""

    async def before(name: str) -> None:
        if world.snapshots():
            raise Killed

    world.before = before
    world.migrate("0002", "0001")
    await world.says(7, head_commit=SECOND)
    with pytest.raises((Killed, BaseExceptionGroup)):
        await settle(world)
    world.before = _nothing
    assert world.snapshots()


async def _nothing(_: str) -> None:
    """Let it happen."""


class Killed(BaseException):
    """The worker is no more."""


@pytest.mark.parametrize("moment", ["snapshot", "create_container", "start", "remove"])
async def test_a_dump_that_was_taken_while_a_commit_came_up(
    world: RestoredWorld, yesterday: dumps.Dump, moment: str
) -> None:
    """It holds a way back that was used up long ago. Going it again would lose what came since."""
    taken: list[dumps.Dump] = [yesterday]

    async def before(name: str) -> None:
        if name == moment and len(taken) == 1:
            taken.append(await world.dump())

    world.before = before
    await a_push(world)
    await settle(world)
    assert len(taken) > 1
    await holds(world)
    world.database_of().data.add("of today")
    await world.restore(taken[1])
    await world.expire_leases()
    await world.says(7, head_commit=THIRD)
    await settle(world)
    await holds(world)
    assert world.held() == ({"a visitor's", "of today"}, {"0002"})


async def test_a_reset_after_the_restore_is_no_reset_from_before_it(
    world: RestoredWorld, yesterday: dumps.Dump
) -> None:
    """Generations begin anew too: a container of then looks as if it had migrated the new database."""
    await a_reset(world)
    await settle(world)
    await world.restore(yesterday)
    world.migrated.clear()
    await a_reset(world)
    await settle(world)
    await holds(world)
    assert len(world.migrated) == 1


@pytest.mark.parametrize("forge_is_away", [False, True])
async def test_nobody_is_led_to_an_address_that_is_anothers_by_now(
    world: RestoredWorld, yesterday: dumps.Dump, *, forge_is_away: bool
) -> None:
    """The first round finds it, and it is led away from before anything else is done, whoever is away."""
    upstreams = {row["number"]: row["serving_upstream"] for row in yesterday["previews"]}
    rows = [{**row, "serving_upstream": upstreams[8]} if row["number"] == 7 else row for row in yesterday["previews"]]
    await world.restore({**yesterday, "previews": rows})
    effects = len(world.effects)

    async def before(_: str) -> None:
        assert await upstream(world, 7) is None

    world.before, world.forge_is_away = before, forge_is_away
    await make_round(world.context, ask_forge=True)
    assert [preview.number for preview, _generation in await world.store.generations.due()] == [7]
    await converge(world.context, PreviewId(812, 7))
    assert await upstream(world, 8) == upstreams[8]
    assert await upstream(world, 7) == (None if forge_is_away else upstreams[7])
    assert forge_is_away == (world.effects[effects:] == [])
    world.before, world.forge_is_away = _nothing, False
    await world.says(7)
    await settle(world)
    await holds(world)
    assert await upstream(world, 7) == upstreams[7]


async def upstream(world: RestoredWorld, number: int) -> str | None:
    """Where visitors are led."""
    route = await world.queries.route_of(PreviewId(812, number))
    return route.upstream if route else None


async def test_a_preview_of_which_nothing_is_known_harms_no_other(world: RestoredWorld, yesterday: dumps.Dump) -> None:
    await an_opening(world)
    await settle(world)
    await world.restore(yesterday)
    await world.says(7)
    await settle(world)
    world.preview = PreviewId(812, 7)
    row = await world.row()
    assert (row.state, row.settled, row.attempts) == (State.READY, row.generation, 0)


async def test_secrets_that_no_key_opens_stop_a_deployment_and_no_removal(
    world: RestoredWorld, yesterday: dumps.Dump
) -> None:
    await world.restore(yesterday)
    world.context = replace(world.context, encryption=Encryption((SecretStr("another"),)))
    await world.says(7, head_commit=SECOND)
    await settle(world)
    world.preview = PreviewId(812, 7)
    row = await world.row()
    assert "another key" in row.reason
    assert row.serving_commit == FIRST, "what serves goes on"
    await world.says(7, open=False)
    await world.says(8, draft=True)
    await settle(world)
    states = {number: (await world.queries.preview(PreviewId(812, number))).state for number in (7, 8)}  # type: ignore[union-attr]
    assert states == {7: State.REMOVED, 8: State.WAITING}


async def test_a_commit_is_withdrawn_although_no_key_opens_the_secrets(
    world: RestoredWorld, yesterday: dumps.Dump
) -> None:
    assert yesterday
    await _leave_a_way_back(world)
    await world.expire_leases()
    world.context = replace(world.context, encryption=Encryption((SecretStr("another"),)))
    await world.says(7, draft=True)
    await settle(world)
    assert world.held() == ({"a visitor's"}, {"0001"})
    assert world.snapshots() == []
    assert (await world.row()).state is State.WAITING
