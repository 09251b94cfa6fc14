"""The line: over each limit a preview waits with its reason and its place, and begins by itself when there is room."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from sqlalchemy import insert, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.admission.room import Disk, Machine
from orchestrator.preview.errors import ForgeUnavailable
from orchestrator.preview.records import Preview
from orchestrator.preview.state import PreviewId, State
from orchestrator.preview.trust import Pull
from orchestrator.store.tables import leaks, previews
from tests.support.wait import eventually
from tests.support.world import FIRST, SECOND, NoQueue, World
from worker import admission
from worker.context.machine import WatchedMachine
from worker.converge import converge
from worker.upkeep import housekeeping

GIB = 1 << 30
OTHERS = 813
"""A second repository, whose pull requests have numbers from 500 on: their hosts are their own."""


@dataclass(slots=True, kw_only=True)
class Scene(WatchedMachine):
    """A machine as the test has it."""

    machine: Machine = Machine()  # noqa: RUF009 - it is frozen

    def look(self) -> Machine:
        return self.machine


class Crowd(World):
    """Several pull requests of two repositories. Nobody is woken: `settle` lets a worker take whatever is due."""

    def __init__(self, database: AsyncEngine, data_dir: Path) -> None:
        super().__init__(database, data_dir)
        self.scene = Scene()
        self.context = replace(self.context, machine=self.scene)
        self.begun: list[int] = []
        """The numbers of those that were let in, in turn."""

    def limit(self, **settings: object) -> None:
        self.context.settings.__dict__.update(settings)

    def meet(self, number: int) -> PreviewId:
        repository = OTHERS if number >= 500 else 812
        pull = replace(self.pull, repository=repository, head_repository=repository, number=number)
        self.preview, self.pull = PreviewId(repository, number), replace(pull, open=True, head_commit=FIRST)
        return self.preview

    async def open(self, *numbers: int) -> None:
        """GitHub says that they are open, and a worker looks at each."""
        for number in numbers:
            self.meet(number)
            await self.hint()
            await self.converge()

    async def close(self, number: int) -> Preview:
        self.meet(number)
        await self.change(open=False)
        return await self.converge()

    async def settle(self) -> None:
        """Let the line move, and workers act, until nobody is due."""
        while True:
            await admission.move_up(self.context)
            due = [preview for preview, _ in await self.store.generations.due() if not preview.is_template]
            if not due:
                return
            for preview in due:
                self.meet(preview.number)
                await self.converge()

    async def of(self, number: int) -> Preview:
        found = await self.queries.preview(PreviewId(OTHERS if number >= 500 else 812, number))
        assert found is not None
        return found

    async def in_state(self, state: State) -> list[int]:
        return sorted(preview.id.number for preview in await self.queries.live() if preview.state is state)

    @asynccontextmanager
    async def busy(self, number: int) -> AsyncIterator[None]:
        """Have a slot taken by a preview that some other worker brings up."""
        preview = self.meet(number)
        await self.hint()
        lease = await self.store.claims.acquire(preview)
        assert lease is not None
        await lease.line.let_in(FIRST, "x", self.context.settings.subnet_pool, lambda *_: None)
        async with self._database.begin() as connection:  # nobody renews it here, and this may take a while
            kept = update(previews).where(previews.c.number == number)
            await connection.execute(kept.values(lease_expires_at=text("now() + interval '1 hour'")))
        yield
        await lease.settle(await lease.renew())
        await lease.release()


@pytest.fixture
def crowd(database: AsyncEngine, tmp_path: Path) -> Crowd:
    return Crowd(database, tmp_path)


async def test_who_finds_no_slot_waits_and_begins_when_one_is_free(crowd: Crowd) -> None:
    crowd.limit(max_jobs=1)
    async with crowd.busy(1):
        await crowd.open(2, 3)
        waiting = await crowd.of(3)
        assert waiting.state is State.WAITING
        assert waiting.reason == "it waits for its turn, second in line: this machine works on 1 preview at once"
        assert (waiting.waits_for, waiting.place, waiting.commit) == ("slot", 2, FIRST)
        assert crowd.effects == [], "nothing was done for anybody"
    await crowd.settle()
    assert await crowd.in_state(State.READY) == [2, 3]
    assert (await crowd.of(3)).place is None


async def test_a_freed_slot_wakes_the_next_at_once_and_never_more_than_the_slots_are_taken(
    crowd: Crowd, database: AsyncEngine
) -> None:
    """Without a single sweep: whoever is done has the next one called."""
    crowd.limit(max_jobs=2)
    most, tasks = 0, set[asyncio.Task[None]]()
    slots = text("SELECT count(*) FROM previews WHERE admitted_token = lease_token AND lease_expires_at > now()")

    async def count(_: str) -> None:
        nonlocal most
        async with database.connect() as connection:
            most = max(most, await connection.scalar(slots) or 0)

    class Waking(NoQueue):
        async def wake(self, preview: PreviewId, generation: int) -> bool:  # noqa: ARG002
            tasks.add(asyncio.create_task(converge(crowd.context, preview)))
            return True

    crowd.before = count
    crowd.context = replace(crowd.context, queue=Waking())
    for number in range(1, 7):
        crowd.meet(number)
        await crowd.hint()
    await asyncio.gather(*(converge(crowd.context, PreviewId(812, number)) for number in range(1, 7)))

    async def all_ready() -> bool:
        return await crowd.in_state(State.READY) == [1, 2, 3, 4, 5, 6]

    await eventually(all_ready, "each had its turn, though nobody swept")
    await asyncio.gather(*tasks)
    assert most == 2


async def test_two_repositories_are_served_in_turn(crowd: Crowd) -> None:
    crowd.limit(max_jobs=1)
    async with crowd.busy(1):
        await crowd.open(2, 3, 4, 5, 500, 501)
        places = {number: (await crowd.of(number)).place for number in (2, 500, 3, 501)}
    served = []
    while waiting := await crowd.in_state(State.WAITING):
        await admission.move_up(crowd.context)
        [(preview, _)] = [(each, _) for each, _ in await crowd.store.generations.due() if not each.is_template]
        crowd.meet(preview.number)
        assert (await crowd.converge()).state is State.READY
        served.append(preview.number)
        assert preview.number in waiting
    assert served in ([2, 500, 3, 501, 4, 5], [500, 2, 501, 3, 4, 5])
    assert places[500] is not None
    assert places[500] <= 5


async def test_live_previews_are_limited_and_a_push_to_one_is_not_held_up(crowd: Crowd) -> None:
    crowd.limit(max_previews=2)
    await crowd.open(1, 2, 3, 4)
    assert await crowd.in_state(State.READY) == [1, 2]
    assert (await crowd.of(4)).reason == (
        "it waits for another preview to go, second in line: this machine keeps 2 previews live at once, and 2 are"
    )
    crowd.meet(1)
    await crowd.change(head_commit=SECOND)
    assert (await crowd.converge()).serving_commit == SECOND
    await crowd.close(2)
    await crowd.settle()
    assert await crowd.in_state(State.READY) == [1, 3]
    assert "first in line" in (await crowd.of(4)).reason


async def test_below_the_floor_of_the_disk_nothing_begins_and_what_serves_goes_on(crowd: Crowd) -> None:
    await crowd.open(1)
    crowd.scene.machine = Machine(disks=(Disk(name="the disk of the Docker Engine", free=3 * GIB),))
    await crowd.open(2)
    assert (await crowd.of(2)).reason == (
        "it waits for disk space, first in line: the disk of the Docker Engine has 3 GiB free, and previewd keeps "
        "4 GiB free"
    )
    assert (await crowd.of(1)).serving_commit == FIRST
    await crowd.settle()
    assert await crowd.in_state(State.WAITING) == [2]
    crowd.scene.machine = Machine(disks=(Disk(name="the disk of the Docker Engine", free=5 * GIB),))
    await crowd.settle()
    assert await crowd.in_state(State.READY) == [1, 2]


async def test_a_full_disk_loses_unused_images_first_and_then_the_whole_build_cache(crowd: Crowd) -> None:
    await crowd.open(1)
    crowd.scene.machine = Machine(disks=(Disk(name="the disk of the Docker Engine", free=3 * GIB),))
    before = len(crowd.engine.calls)
    await housekeeping.make_room(crowd.context)
    done = [(name, arguments) for name, arguments in crowd.engine.calls[before:] if name != "image"]
    assert [name for name, _ in done] == ["objects", "limit_build_cache"]
    assert done[-1] == ("limit_build_cache", (0,))
    crowd.scene.machine = Machine(disks=(Disk(name="the disk of the Docker Engine", free=5 * GIB),))
    before = len(crowd.engine.calls)
    await housekeeping.make_room(crowd.context)
    assert len(crowd.engine.calls) == before


async def test_without_memory_nothing_new_begins_and_leaked_containers_are_named(
    crowd: Crowd, database: AsyncEngine
) -> None:
    await crowd.open(1)
    crowd.scene.machine = Machine(memory=300 << 20)
    async with database.begin() as connection:
        await connection.execute(insert(leaks).values(kind="container", name="x", reason="preview 812-99 is removed"))
    await crowd.open(2)
    assert (await crowd.of(2)).reason == (
        "it waits for memory, first in line: this machine has 300 MiB of memory available, and previewd keeps 512 MiB "
        "free; 1 of the containers belongs to no live preview: `previewd leaks` lists them"
    )
    crowd.meet(1)
    await crowd.change(head_commit=SECOND)
    assert (await crowd.converge()).serving_commit == SECOND, "its containers take the place of others"
    crowd.scene.machine = Machine()
    await crowd.settle()
    assert await crowd.in_state(State.READY) == [1, 2]


async def test_without_a_subnet_a_preview_waits_until_another_one_goes(crowd: Crowd) -> None:
    crowd.limit(subnet_pool=IPv4Network("10.213.0.0/26"))
    await crowd.open(1, 2, 3)
    assert await crowd.in_state(State.READY) == [1, 2]
    assert (await crowd.of(3)).reason == (
        "it waits for a network, first in line: all 2 subnets of 10.213.0.0/26 are taken"
    )
    await crowd.close(1)
    await crowd.settle()
    assert await crowd.in_state(State.READY) == [2, 3]


async def test_a_subnet_that_something_else_uses_is_found_out_once_and_named(crowd: Crowd) -> None:
    crowd.limit(subnet_pool=IPv4Network("10.213.0.0/26"))
    crowd.engine.foreign_subnets = [IPv4Network("10.213.0.0/27")]
    await crowd.open(1, 2)
    assert await crowd.in_state(State.READY) == [1]
    waiting = "all 2 subnets of 10.213.0.0/26 are taken, 1 of them by something else on this machine"
    assert waiting in (await crowd.of(2)).reason
    await crowd.close(1)
    await crowd.settle()
    assert await crowd.in_state(State.READY) == [2]
    crowd.engine.foreign_subnets = []
    await crowd.open(3)
    assert (await crowd.of(3)).state is State.WAITING
    await crowd.store.subnets.retry(0)
    await crowd.settle()
    assert await crowd.in_state(State.READY) == [2, 3], "it may be free by now"


async def test_a_subnet_of_a_removed_preview_is_named(crowd: Crowd, database: AsyncEngine) -> None:
    crowd.limit(subnet_pool=IPv4Network("10.213.0.0/27"))
    async with database.begin() as connection:
        await connection.execute(text("INSERT INTO subnets VALUES ('10.213.0.0/27', 'left', 812, 99)"))
    await crowd.open(1)
    assert (await crowd.of(1)).reason.endswith(
        "10.213.0.0/27 is taken; 1 of the subnets belongs to no live preview: `previewd leaks` lists them"
    )


async def test_one_who_waits_and_is_closed_leaves_the_line(crowd: Crowd) -> None:
    crowd.limit(max_previews=1)
    await crowd.open(1, 2, 3)
    assert (await crowd.close(2)).state is State.REMOVED
    assert (await crowd.of(2)).place is None
    await crowd.settle()
    assert "first in line" in (await crowd.of(3)).reason


async def test_a_close_is_not_held_up_by_a_line_of_fifty(crowd: Crowd) -> None:
    crowd.limit(max_jobs=1)
    await crowd.open(1)
    async with crowd.busy(2):
        await crowd.open(*range(3, 53))
        assert (await crowd.of(52)).place == 50
        assert (await crowd.close(1)).state is State.REMOVED
        assert (await crowd.close(30)).state is State.REMOVED
        await admission.move_up(crowd.context)
        assert (await crowd.of(52)).place == 49
        changed = (await crowd.of(52)).updated_at
        assert (await crowd.close(40)).state is State.REMOVED
        await admission.move_up(crowd.context)
        assert ((await crowd.of(52)).place, (await crowd.of(52)).updated_at) == (48, changed), "the forge hears nothing"


async def test_twenty_pushes_in_a_burst_are_two_deployments_at_most(crowd: Crowd) -> None:
    crowd.limit(max_jobs=1)
    async with crowd.busy(1):
        await crowd.open(2)
        joined = (await crowd.row()).line_joined_at
        for number in range(20):
            await crowd.change(head_commit=f"{number:040x}")
            await crowd.converge()
        assert (await crowd.row()).line_joined_at == joined, "a push keeps its place"
    newest = crowd.pull
    await admission.move_up(crowd.context)
    crowd.pull = newest
    assert (await crowd.converge()).serving_commit == f"{19:040x}"
    assert len(await crowd.queries.deployments(PreviewId(812, 2))) == 1


async def test_places_survive_a_restart_of_the_worker(crowd: Crowd, database: AsyncEngine, tmp_path: Path) -> None:
    crowd.limit(max_previews=1)
    await crowd.open(1, 2, 3)
    successor = Crowd(database, tmp_path)
    successor.pulls, successor.engine = crowd.pulls, crowd.engine
    successor.context = replace(successor.context, engine=crowd.engine, databases=crowd.databases)
    successor.limit(max_previews=1)
    await successor.settle()
    assert [(await successor.of(number)).place for number in (2, 3)] == [1, 2]
    await successor.close(1)
    await successor.settle()
    assert await successor.in_state(State.READY) == [2]


async def test_the_slot_of_a_killed_worker_is_free_when_its_lease_has_run_out(
    crowd: Crowd, database: AsyncEngine
) -> None:
    crowd.limit(max_jobs=1)
    async with crowd.busy(1):
        await crowd.open(2)
        async with database.begin() as connection:
            expired = update(previews).where(previews.c.number == 1)
            await connection.execute(expired.values(lease_expires_at=text("now() - interval '1 second'"), settled=1))
        await crowd.settle()
        assert await crowd.in_state(State.READY) == [2]
        async with database.begin() as connection:
            await connection.execute(expired.values(lease_expires_at=text("now() + interval '1 minute'")))


async def test_one_whose_forge_is_away_keeps_its_turn_and_holds_up_nobody(crowd: Crowd) -> None:
    crowd.limit(max_jobs=1)
    async with crowd.busy(1):
        await crowd.open(2, 3)
    asked = crowd.context.forge.pull

    async def pull(repository: int, number: int) -> Pull | None:
        if number == 2:
            raise ForgeUnavailable("GitHub does not answer", retry_after=60)
        return await asked(repository, number)

    crowd.context.forge.pull = pull  # type: ignore[method-assign]
    await crowd.settle()
    assert await crowd.in_state(State.READY) == [3]
    assert await crowd.in_state(State.WAITING) == [2]


async def test_a_preview_of_a_base_branch_takes_no_slot(crowd: Crowd, database: AsyncEngine) -> None:
    crowd.limit(max_jobs=1)
    async with database.begin() as connection:
        await connection.execute(
            insert(previews).values(repository=812, number=0, repository_name="acme/shop", host="t", branch="main")
        )
    async with crowd.busy(1):
        await crowd.open(2)
        await converge(crowd.context, PreviewId(812, 0))
        states = Counter(preview.state for preview in await crowd.queries.live())
        assert states == {State.QUEUED: 1, State.WAITING: 1}
        assert (await crowd.store.line.read(crowd.context.settings.subnet_pool)).use.slots == 1
