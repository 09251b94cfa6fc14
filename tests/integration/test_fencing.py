"""Two workers and one preview: whoever is frozen, blocked or late has no effect any more once another one may act."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextvars import Context
from dataclasses import replace
from datetime import timedelta
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from docker import APIClient
from pydantic import SecretStr
from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.adapters.engine.engine import THREADS, DockerEngine
from orchestrator.adapters.postgres.connection import Server
from orchestrator.preview.errors import LeaseLost, NoRoom
from orchestrator.preview.names import GENERATION_LABEL
from orchestrator.preview.state import Resource, State, Step
from orchestrator.runtime import fence
from orchestrator.runtime.concurrency import in_thread, run_all
from orchestrator.runtime.fence import Fence
from orchestrator.runtime.settings import asyncpg_url
from orchestrator.store.leasing import with_lease
from orchestrator.store.line import _JUDGING
from orchestrator.store.store import Lease, Store, connect
from orchestrator.store.tables import logs, previews, transitions
from tests.integration.test_gate import EFFECTS, REMOVALS_OF_A_PREVIEW
from tests.support.recording_engine import RecordingEngine, recording_engine
from tests.support.wait import eventually
from tests.support.world import FIRST, SECOND, World
from worker.context.build_slots import BuildSlots
from worker.context.context import WorkerContext
from worker.converge import converge

FROZEN_SECONDS = 300.0
ROUNDS = 6
WORKERS = 3


@pytest.fixture
def world(database: AsyncEngine, tmp_path: Path) -> World:
    return World(database, tmp_path)


@pytest.fixture
async def lease(world: World) -> Lease:
    await world.hint()
    found = await world.store.acquire(world.preview)
    assert found is not None
    return found


async def expire(database: AsyncEngine) -> None:
    """What happens in the database while a worker is frozen."""
    async with database.begin() as connection:
        await connection.execute(update(previews).values(lease_expires_at=text("now() - interval '4 minutes'")))


def another(context: WorkerContext) -> WorkerContext:
    """Of a second worker process: the same world, and nothing in memory that the first one has."""
    return replace(context, build_slots=BuildSlots(4))


class Freeze:
    """Stops the first worker right before its effect of this number; it wakes when a second one has finished.

    What the first one has under way beside that effect is stopped with it, as in a process: its clock has gone on.
    """

    def __init__(self, world: World, database: AsyncEngine, number: int) -> None:
        self._world, self._database, self._number = world, database, number
        self._seen = 0
        self.fences: list[Fence] = []
        self.effects_of_the_second = 0
        self.after: list[tuple[str, str]] | None = None
        """All effects at the moment when it wakes."""
        world.before = self._before

    async def _before(self, _: str) -> None:
        self._seen += 1
        if self._seen != self._number:
            return
        frozen = fence.current()
        assert frozen is not None, "every effect of a worker is under its lease"
        await expire(self._database)
        frozen.clock = lambda: fence.now() + FROZEN_SECONDS
        before = len(self._world.effects)
        second = asyncio.create_task(converge(another(self._world.context), self._world.preview), context=Context())
        while not second.done():  # a frozen process hears of no cancellation either
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([second])
        second.result()
        self.effects_of_the_second = len(self._world.effects) - before
        self.after = list(self._world.effects)


@pytest.mark.parametrize("number", range(1, EFFECTS + 1))
async def test_a_worker_frozen_before_any_effect_of_a_deployment_has_none_when_it_wakes(
    world: World, database: AsyncEngine, number: int
) -> None:
    await world.hint()
    freeze = Freeze(world, database, number)
    preview = await world.converge()
    assert freeze.after is not None
    assert freeze.effects_of_the_second > 0
    assert world.effects == freeze.after
    assert (preview.state, preview.serving_commit) == (State.READY, FIRST)
    assert await history(database) == ["ready"] or await history(database) == ["interrupted", "ready"]


@pytest.mark.parametrize("number", range(1, REMOVALS_OF_A_PREVIEW + 1))
async def test_a_worker_frozen_before_any_effect_of_a_teardown_has_none_when_it_wakes(
    world: World, database: AsyncEngine, number: int
) -> None:
    await world.hint()
    await world.converge()
    await world.change(open=False)
    freeze = Freeze(world, database, number)
    preview = await world.converge()
    assert freeze.after is not None
    assert world.effects == freeze.after
    assert preview.state is State.REMOVED
    assert await world.leftovers() == []


async def test_a_worker_frozen_while_it_removes_does_not_take_what_was_made_again(
    world: World, database: AsyncEngine
) -> None:
    """Closed, frozen, opened again, and brought up by another worker under the very same names."""
    await world.hint()
    await world.converge()
    await world.change(open=False)
    freeze = Freeze(world, database, REMOVALS_OF_A_PREVIEW)
    frozen = freeze._before

    async def before(name: str) -> None:
        if freeze._seen == REMOVALS_OF_A_PREVIEW - 1:
            await world.change(open=True)
        await frozen(name)

    world.before = before
    preview = await world.converge()
    assert freeze.after == world.effects
    assert (preview.state, preview.serving_commit) == (State.READY, FIRST)
    assert (await world.leftovers()).count("container") == 2


async def test_of_many_workers_on_one_preview_one_acts_at_a_time(world: World, database: AsyncEngine) -> None:
    """Pushes come while they race; each effect is that of whoever holds the lease in the database."""
    owners: list[tuple[Fence | None, int]] = []

    async def before(_: str) -> None:
        one = fence.current()
        assert one is not None
        owners.append((one, len(world.effects)))
        await asyncio.sleep(0)

    world.before = before
    for number in range(ROUNDS):
        await world.change(head_commit=f"{number:040x}")
        await asyncio.gather(*(world.converge() for _ in range(WORKERS)))
        preview = await world.converge()
        assert (preview.state, preview.serving_commit) == (State.READY, f"{number:040x}")
        assert len({one for one, _ in owners}) == 1, "one worker took this round's lease, and the others left"
        owners.clear()
    found = await history(database)
    assert found == ["ready"] * ROUNDS


async def history(database: AsyncEngine) -> list[str]:
    """How each deployment ended, the oldest first."""
    async with database.connect() as connection:
        return list(await connection.scalars(text("SELECT outcome FROM deployments ORDER BY id")))


# The lease and its fence


async def test_taking_and_renewing_hold_the_fence_up(world: World, lease: Lease) -> None:
    lease.fence.require()
    lease.fence.clock = lambda: fence.now() + fence.LEASE_SECONDS
    with pytest.raises(LeaseLost):
        lease.fence.require()
    await world.store.renew(lease)
    lease.fence.require()


async def test_the_fence_falls_before_the_lease_ends_on_the_databases_clock(
    world: World, lease: Lease, database: AsyncEngine
) -> None:
    """However long the queries took: the database's end of the lease is later than the fence's, by the margin."""
    for _ in range(20):
        await world.store.renew(lease)
        before = fence.now()
        async with database.connect() as connection:
            left = await connection.scalar(
                select(text("extract(epoch FROM lease_expires_at - clock_timestamp())::float8")).select_from(previews)
            )
        assert lease.fence._until <= before + left - fence.MARGIN_SECONDS + (fence.now() - before)


async def test_a_lease_is_kept_through_an_outage_of_postgres_that_is_shorter_than_it(
    world: World, lease: Lease, database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs goes on: nobody else can take the lease meanwhile."""
    renew = world.store.renew

    async def away(_: Lease) -> int:
        raise ConnectionRefusedError

    monkeypatch.setattr(world.store, "renew", away)
    assert await world.store.keep(lease) is None
    lease.fence.clock = lambda: fence.now() + fence.LEASE_SECONDS
    with pytest.raises(ConnectionRefusedError):
        await world.store.keep(lease)
    lease.fence.clock = fence.now
    monkeypatch.setattr(world.store, "renew", renew)
    assert await world.store.keep(lease) == 1
    await expire(database)
    with pytest.raises(LeaseLost):
        await world.store.keep(lease)


async def test_those_who_wait_to_be_let_in_leave_connections_to_those_at_work(
    database_url: str, world: World, lease: Lease
) -> None:
    """Another worker holds the line's lock, and many of ours want to be let in: a lease is renewed all the same."""
    small = connect(asyncpg_url(SecretStr(database_url)), pool_size=1)
    store, leases = Store(small), []
    for number in range(100, 120):
        world.turn_to(number)
        await world.hint()
        leases.append(await world.store.acquire(world.preview))
    try:
        async with small.begin() as other:
            await other.execute(select(func.pg_advisory_xact_lock(_JUDGING)))
            waiting = [
                asyncio.create_task(store.let_in(each, FIRST, "x", POOL, lambda *_: None)) for each in leases if each
            ]
            await asyncio.wait(waiting, timeout=0.2)
            async with asyncio.timeout(5):
                await store.renew(lease)
        await asyncio.gather(*waiting)
    finally:
        await small.dispose()


async def test_a_renewal_that_is_refused_brings_the_fence_down(
    world: World, lease: Lease, database: AsyncEngine
) -> None:
    await expire(database)
    assert lease.fence.is_up, "by our own clock nothing has happened yet"
    with pytest.raises(LeaseLost):
        await world.store.renew(lease)
    assert not lease.fence.is_up


async def test_who_gives_the_lease_back_acts_no_more(world: World, lease: Lease) -> None:
    await world.store.release(lease)
    assert not lease.fence.is_up
    assert await world.store.acquire(world.preview) is not None


async def test_a_lease_that_cannot_be_given_back_hides_no_reason(world: World, lease: Lease, postgres_url: str) -> None:
    nowhere = connect("postgresql+asyncpg://nobody@127.0.0.1:9/nothing")
    try:
        await Store(nowhere).release(lease)
    finally:
        await nowhere.dispose()
    assert not lease.fence.is_up


POOL = IPv4Network("10.213.0.0/16")

WRITES: dict[str, Callable[[Store, Lease, int], Awaitable[object]]] = {
    "refresh": lambda store, lease, _: store.refresh(lease, World.__new__(World)),  # type: ignore[arg-type]
    "advance": lambda store, lease, _: store.advance(lease, State.QUEUED, "x"),
    "settle": lambda store, lease, _: store.settle(lease, 1),
    "postpone": lambda store, lease, _: store.postpone(lease, "x", 1),
    "keep_secrets": lambda store, lease, _: store.keep_secrets(lease, b"x"),
    "keep_holding": lambda store, lease, _: store.keep_database(lease, None),  # type: ignore[arg-type]
    "join_line": lambda store, lease, _: store.join_line(lease, NoRoom("x", Resource.SLOT), POOL, 1),
    "let_in": lambda store, lease, _: store.let_in(lease, FIRST, "x", POOL, lambda *_: None),
    "hide": lambda store, lease, _: store.hide(lease),
    "show": lambda store, lease, _: store.show(lease, "x"),
    "lives": lambda store, lease, _: store.lives(lease, FIRST, timedelta(1)),
    "set_candidate": lambda store, lease, _: store.set_candidate(lease, FIRST, "x", "x"),
    "clear_candidate": lambda store, lease, _: store.clear_candidate(lease),
    "promote": lambda store, lease, _: store.promote(lease, ["x"], "x"),
    "unroute": lambda store, lease, _: store.unroute(lease),
    "use_images": lambda store, lease, _: store.use_images(lease, ["x"]),
    "start_deployment": lambda store, lease, _: store.start_deployment(lease, 1, FIRST),
    "close_deployment": lambda store, lease, _: store.close_deployment(lease, "ready"),
    "note": lambda store, lease, number: store.note(lease, number, ["x"]),
    "keep_wiring": lambda store, lease, number: store.keep_wiring(lease, number, None),  # type: ignore[arg-type]
    "enter_step": lambda store, lease, number: store.enter_step(lease, number, Step.BUILD, State.BUILDING),
    "leave_step": lambda store, lease, number: store.leave_step(lease, number, Step.BUILD),
    "take_subnet": lambda store, lease, _: store.take_subnet(lease, "x", None),  # type: ignore[arg-type]
    "give_up_subnet": lambda store, lease, _: store.give_up_subnet(lease, None),  # type: ignore[arg-type]
    "free_subnets": lambda store, lease, _: store.free_subnets(lease),
    "forget_backups": lambda store, lease, _: store.forget_backups(lease),
    "own": lambda store, lease, _: store.own(lease),
    "renew": lambda store, lease, _: store.renew(lease),
    "keep": lambda store, lease, _: store.keep(lease),
}


def test_every_method_that_takes_a_lease_is_tried() -> None:
    found = {
        name for name, of in vars(Store).items() if "lease" in getattr(of, "__annotations__", {}) and name[0] != "_"
    }
    assert found == WRITES.keys() | {"release"}


async def test_nothing_is_written_under_a_lease_that_another_worker_took(
    world: World, lease: Lease, database: AsyncEngine
) -> None:
    number = await world.store.start_deployment(lease, 1, FIRST)
    await expire(database)
    assert await world.store.acquire(world.preview) is not None
    before = await everything(database)
    for write in WRITES.values():
        with pytest.raises(LeaseLost):
            await write(world.store, lease, number)
    assert await everything(database) == before


async def test_no_line_is_added_to_the_log_of_a_run_that_is_lost(
    world: World, lease: Lease, database: AsyncEngine
) -> None:
    number = await world.store.start_deployment(lease, 1, FIRST)
    with fence.under(lease.fence):
        await world.store.log(number, Step.BUILD, ["in time"])
        lease.fence.fall()
        with pytest.raises(LeaseLost):
            await world.store.log(number, Step.BUILD, ["too late"])
    async with database.connect() as connection:
        assert list(await connection.scalars(select(logs.c.line))) == ["in time"]


async def everything(database: AsyncEngine) -> list[Any]:
    async with database.connect() as connection:
        tables = (previews, transitions, *(previews.metadata.tables[name] for name in ("deployments", "steps")))
        return [(await connection.execute(select(table))).all() for table in tables]


async def test_a_worker_frozen_in_a_transaction_keeps_nobody_out(
    world: World, lease: Lease, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the preview's row: Postgres itself ends its session, or deliveries would wait for it too."""
    monkeypatch.setitem(connect.__globals__["_SESSION"], "idle_in_transaction_session_timeout", "200")
    frozen = connect(database_url.replace("postgresql://", "postgresql+asyncpg://"))
    try:
        with contextlib.suppress(Exception):
            async with Store(frozen)._owned(lease):
                await asyncio.wait_for(world.hint(), 30)
        assert await world.store.renew(lease) == 2
    finally:
        await frozen.dispose()


async def test_a_command_that_lost_its_lease_does_nothing_more(world: World, database: AsyncEngine) -> None:
    await world.hint()
    await world.converge()
    done = []

    async def work(lease: Lease) -> None:
        assert fence.current() is lease.fence
        done.append(await in_thread(fence.current))
        lease.fence.clock = lambda: fence.now() + FROZEN_SECONDS
        await world.databases.snapshot("previewd-pr-812-7", "x")

    with pytest.raises(LeaseLost):
        await with_lease(world.store, world.preview, work)
    assert done == [done[0]]
    assert "snapshot" not in [name for name, _ in world.effects]


# The previews' Postgres


async def test_a_transaction_that_outlives_its_lease_is_not_committed(postgres_url: str) -> None:
    held = Fence()
    held.extend(held.clock())
    role = f"late_{uuid4().hex[:8]}"

    async def transaction() -> None:
        async with Server(postgres_url).session() as connection, connection.transaction():
            await connection.execute(f"CREATE ROLE {role}")
            held.fall()

    with fence.under(held), pytest.raises(LeaseLost):
        await transaction()
    plain = await asyncpg.connect(postgres_url)
    try:
        assert await plain.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", role) == 0
    finally:
        await plain.close()


# Threads and the loop


@pytest.fixture
def engine_server(tmp_path: Path) -> Iterator[RecordingEngine]:
    with recording_engine(str(tmp_path / "engine.sock")) as server:
        yield server


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of half a second, so that a test may really sit one out."""
    monkeypatch.setattr(fence, "LEASE_SECONDS", 0.5)
    monkeypatch.setattr(fence, "MARGIN_SECONDS", 0.1)


def occupy_every_thread(engine: DockerEngine, until: threading.Event) -> None:
    """What is asked of the Engine from now on waits for a thread."""
    for _ in range(THREADS):
        engine._threads.submit(until.wait, 30)


@pytest.mark.usefixtures("short_leases")
async def test_a_blocked_loop_and_a_full_executor_let_no_late_effect_through(
    world: World, lease: Lease, engine_server: RecordingEngine
) -> None:
    """A removal waits for a thread; a chore blocks the loop for longer than the lease; then a thread is free."""
    engine, go_on = DockerEngine(engine_server.url), threading.Event()
    await engine._call("connect", lambda api: api.version(api_version=False))
    before = list(engine_server.requests)
    await world.store.renew(lease)
    try:
        occupy_every_thread(engine, go_on)
        with fence.under(lease.fence):
            lease.fence.require()
            removal = asyncio.create_task(engine.remove_volume("data"))
            await asyncio.sleep(0)
        while lease.fence.is_up:
            time.sleep(0.01)  # noqa: ASYNC251 - this is the chore that blocks the loop, and with it every renewal
        go_on.set()
        with pytest.raises(LeaseLost):
            await removal
        assert engine_server.requests == before
    finally:
        go_on.set()
        await engine.close()


async def test_a_thread_that_outlives_its_task_has_no_effect_once_the_lease_is_given_back(
    world: World, lease: Lease, engine_server: RecordingEngine
) -> None:
    """Its task is gone with the loop's patience: nobody waits for it, and it is woken much later."""
    engine, go_on, begun, outcome = DockerEngine(engine_server.url), *_events(), []
    await engine._call("connect", lambda api: api.version(api_version=False))
    before = list(engine_server.requests)

    def late(api: APIClient) -> None:
        begun.set()
        go_on.wait(30)
        try:
            api.remove_volume("data")
        except LeaseLost as lost:
            outcome.append(lost)
            raise

    with fence.under(lease.fence):
        thread = asyncio.create_task(asyncio.to_thread(engine._attempt, "remove volume data", late))
    try:
        await asyncio.to_thread(begun.wait, 30)
        thread.cancel()
        with pytest.raises(asyncio.CancelledError):
            await thread
        await world.store.release(lease)
        assert await world.store.acquire(world.preview) is not None
    finally:
        go_on.set()
    await eventually(lambda: asyncio.sleep(0, bool(outcome)), "the late thread was refused")
    assert engine_server.requests == before
    await engine.close()


def _events() -> tuple[threading.Event, threading.Event]:
    return threading.Event(), threading.Event()


@pytest.mark.usefixtures("short_leases")
async def test_streams_ask_when_they_have_their_connection(lease: Lease, engine_server: RecordingEngine) -> None:
    engine = DockerEngine(engine_server.url)
    await engine._call("connect", lambda api: api.version(api_version=False))
    before = list(engine_server.requests)
    with fence.under(lease.fence):
        client = await engine._streams()
        lease.fence.fall()
        async with client:
            for method, path in (("POST", "/build"), ("POST", "/images/create"), ("POST", "/exec/1/start")):
                with pytest.raises(LeaseLost):
                    await client.request(method, path)
    assert engine_server.requests == before
    await engine.close()


# What no fence stops is found by its label


async def test_containers_say_which_generation_made_them(world: World) -> None:
    """A request that was under way when its worker froze takes effect: whoever finds what it made can tell."""
    made: list[str] = []
    for commit in (FIRST, SECOND):
        await world.change(head_commit=commit)
        await world.converge()
        generation = (await world.row()).generation
        found = await world.engine.containers({GENERATION_LABEL: str(generation)})
        made.append(str(generation))
        assert [status.name for status in found if "-app-" in status.name], "the service that this commit changed"
    assert made == ["1", "2"]


async def test_together_ends_when_the_lease_is_lost(lease: Lease) -> None:
    """One that is refused ends those beside it, and its reason is the one that is told."""
    with fence.under(lease.fence):
        lease.fence.fall()
        with pytest.raises(LeaseLost):
            await run_all(in_thread(fence.require), asyncio.sleep(60))
