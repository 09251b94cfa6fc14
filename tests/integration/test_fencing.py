"""Two workers and one preview: whoever is frozen, blocked or late has no effect any more once another one may act."""

import asyncio
import contextlib
import inspect
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
from orchestrator.preview.records import Wiring
from orchestrator.preview.state import PreviewId, Resource, State, Step
from orchestrator.runtime import fence
from orchestrator.runtime.concurrency import in_thread, run_all
from orchestrator.runtime.fence import Fence
from orchestrator.runtime.settings import asyncpg_url
from orchestrator.store.claims import Claim, under_claim
from orchestrator.store.connection import connect
from orchestrator.store.line import _JUDGING
from orchestrator.store.store import Store
from orchestrator.store.tables import logs, previews, transitions
from tests.integration.test_gate import EFFECTS, REMOVALS_OF_A_PREVIEW
from tests.support.intercept import claim_parts
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
async def lease(world: World) -> Claim:
    await world.hint()
    found = await world.store.claims.acquire(world.preview)
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


async def test_taking_and_renewing_hold_the_fence_up(world: World, lease: Claim) -> None:
    lease.fence.require()
    lease.fence.clock = lambda: fence.now() + fence.LEASE_SECONDS
    with pytest.raises(LeaseLost):
        lease.fence.require()
    await lease.renew()
    lease.fence.require()


async def test_the_fence_falls_before_the_lease_ends_on_the_databases_clock(
    world: World, lease: Claim, database: AsyncEngine
) -> None:
    """However long the queries took: the database's end of the lease is later than the fence's, by the margin."""
    for _ in range(20):
        await lease.renew()
        before = fence.now()
        async with database.connect() as connection:
            left = await connection.scalar(
                select(text("extract(epoch FROM lease_expires_at - clock_timestamp())::float8")).select_from(previews)
            )
        assert lease.fence._until <= before + left - fence.MARGIN_SECONDS + (fence.now() - before)


async def test_a_lease_is_kept_through_an_outage_of_postgres_that_is_shorter_than_it(
    world: World, lease: Claim, database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs goes on: nobody else can take the lease meanwhile."""
    renew = lease.renew

    async def away() -> int:
        raise ConnectionRefusedError

    monkeypatch.setattr(lease, "renew", away)
    await lease.keep()
    lease.fence.clock = lambda: fence.now() + fence.LEASE_SECONDS
    with pytest.raises(ConnectionRefusedError):
        await lease.keep()
    lease.fence.clock = fence.now
    monkeypatch.setattr(lease, "renew", renew)
    await lease.keep()
    await expire(database)
    with pytest.raises(LeaseLost):
        await lease.keep()


async def test_those_who_wait_to_be_let_in_leave_connections_to_those_at_work(
    database_url: str, world: World, lease: Claim
) -> None:
    """Another worker holds the line's lock, and many of ours want to be let in: a lease is renewed all the same."""
    small = connect(asyncpg_url(SecretStr(database_url)), pool_size=1)
    claims, taken = Store.of(small).claims, []
    for number in range(100, 120):
        world.turn_to(number)
        await world.hint()
        taken.append(await claims.acquire(world.preview))
    try:
        async with small.begin() as other:
            await other.execute(select(func.pg_advisory_xact_lock(_JUDGING)))
            waiting = [
                asyncio.create_task(each.line.let_in(FIRST, "x", POOL, lambda *_: None)) for each in taken if each
            ]
            await asyncio.wait(waiting, timeout=0.2)
            async with asyncio.timeout(5):
                await lease.renew()
        await asyncio.gather(*waiting)
    finally:
        await small.dispose()


async def test_a_renewal_that_is_refused_brings_the_fence_down(
    world: World, lease: Claim, database: AsyncEngine
) -> None:
    await expire(database)
    assert lease.fence.is_up, "by our own clock nothing has happened yet"
    with pytest.raises(LeaseLost):
        await lease.renew()
    assert not lease.fence.is_up


async def test_who_gives_the_lease_back_acts_no_more(world: World, lease: Claim) -> None:
    await lease.release()
    assert not lease.fence.is_up
    assert await world.store.claims.acquire(world.preview) is not None


async def test_a_lease_that_cannot_be_given_back_hides_no_reason(world: World, lease: Claim, postgres_url: str) -> None:
    nowhere = connect("postgresql+asyncpg://nobody@127.0.0.1:9/nothing")
    try:
        await elsewhere(lease, nowhere).release()
    finally:
        await nowhere.dispose()
    assert not lease.fence.is_up


def elsewhere(claim: Claim, engine: AsyncEngine) -> Claim:
    """The same claim, over another way to the database."""
    same = Claim(engine, claim.preview, asyncio.Lock())
    same.token, same.fence = claim.token, claim.fence
    return same


POOL = IPv4Network("10.213.0.0/16")

WRITES: dict[str, Callable[[Claim, int], Awaitable[object]]] = {
    "refresh": lambda claim, _: claim.refresh(World.__new__(World)),  # type: ignore[arg-type]
    "advance": lambda claim, _: claim.advance(State.QUEUED, "x"),
    "settle": lambda claim, _: claim.settle(1),
    "postpone": lambda claim, _: claim.postpone("x", 1),
    "keep_secrets": lambda claim, _: claim.keep_secrets(b"x"),
    "keep_database": lambda claim, _: claim.keep_database(None),  # type: ignore[arg-type]
    "line.join": lambda claim, _: claim.line.join(NoRoom("x", Resource.SLOT), POOL, 1),
    "line.let_in": lambda claim, _: claim.line.let_in(FIRST, "x", POOL, lambda *_: None),
    "serving.hide": lambda claim, _: claim.serving.hide(),
    "serving.show": lambda claim, _: claim.serving.show("x"),
    "deployments.times_ready": lambda claim, _: claim.deployments.times_ready(FIRST, timedelta(1)),
    "serving.set_candidate": lambda claim, _: claim.serving.set_candidate(FIRST, "x", "x"),
    "serving.clear_candidate": lambda claim, _: claim.serving.clear_candidate(),
    "serving.promote": lambda claim, _: claim.serving.promote(["x"], "x"),
    "serving.unroute": lambda claim, _: claim.serving.unroute(),
    "serving.use_images": lambda claim, _: claim.serving.use_images(["x"]),
    "deployments.start": lambda claim, _: claim.deployments.start(1, FIRST),
    "deployments.close": lambda claim, _: claim.deployments.close("ready"),
    "deployments.note": lambda claim, number: claim.deployments.note(number, ["x"]),
    "deployments.keep_wiring": lambda claim, number: claim.deployments.keep_wiring(number, Wiring()),
    "deployments.enter_step": lambda claim, number: claim.deployments.enter_step(number, Step.BUILD, State.BUILDING),
    "deployments.leave_step": lambda claim, number: claim.deployments.leave_step(number, Step.BUILD),
    "subnets.take": lambda claim, _: claim.subnets.take("x", None),  # type: ignore[arg-type]
    "subnets.give_up": lambda claim, _: claim.subnets.give_up(None),  # type: ignore[arg-type]
    "subnets.free": lambda claim, _: claim.subnets.free(),
    "forget_backups": lambda claim, _: claim.forget_backups(),
    "row": lambda claim, _: claim.row(),
    "renew": lambda claim, _: claim.renew(),
    "keep": lambda claim, _: claim.keep(),
}
"""What is done with a claim and the number of a deployment."""

NO_WRITES = {"take", "release", "owned", "holds", "newer", "keep_renewing", "read"}
"""What a claim has beside what it writes: `read` is behind `row`, and to renew again and again is to `keep`."""


def test_every_method_of_a_claim_is_tried() -> None:
    claim = Claim(connect("postgresql+asyncpg://nobody@127.0.0.1:9/nothing"), PreviewId(1, 1), asyncio.Lock())
    found = {
        f"{topic}{name}"
        for topic, part in claim_parts(claim)
        for name, _ in inspect.getmembers(type(part), inspect.isfunction)
        if name[0] != "_"
    }
    assert found - NO_WRITES == set(WRITES)


async def test_nothing_is_written_under_a_lease_that_another_worker_took(
    world: World, lease: Claim, database: AsyncEngine
) -> None:
    number = await lease.deployments.start(1, FIRST)
    await expire(database)
    assert await world.store.claims.acquire(world.preview) is not None
    before = await everything(database)
    for write in WRITES.values():
        with pytest.raises(LeaseLost):
            await write(lease, number)
    assert await everything(database) == before


async def test_no_line_is_added_to_the_log_of_a_run_that_is_lost(
    world: World, lease: Claim, database: AsyncEngine
) -> None:
    number = await lease.deployments.start(1, FIRST)
    with fence.under(lease.fence):
        await world.store.logs.append(number, Step.BUILD, ["in time"])
        lease.fence.fall()
        with pytest.raises(LeaseLost):
            await world.store.logs.append(number, Step.BUILD, ["too late"])
    async with database.connect() as connection:
        assert list(await connection.scalars(select(logs.c.line))) == ["in time"]


async def everything(database: AsyncEngine) -> list[Any]:
    async with database.connect() as connection:
        tables = (previews, transitions, *(previews.metadata.tables[name] for name in ("deployments", "steps")))
        return [(await connection.execute(select(table))).all() for table in tables]


async def test_a_worker_frozen_in_a_transaction_keeps_nobody_out(
    world: World, lease: Claim, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the preview's row: Postgres itself ends its session, or deliveries would wait for it too."""
    monkeypatch.setitem(connect.__globals__["_SESSION"], "idle_in_transaction_session_timeout", "200")
    frozen = connect(database_url.replace("postgresql://", "postgresql+asyncpg://"))
    try:
        with contextlib.suppress(Exception):
            async with elsewhere(lease, frozen).owned():
                await asyncio.wait_for(world.hint(), 30)
        assert await lease.renew() == 2
    finally:
        await frozen.dispose()


async def test_a_command_that_lost_its_lease_does_nothing_more(world: World, database: AsyncEngine) -> None:
    await world.hint()
    await world.converge()
    done = []

    async def work(lease: Claim) -> None:
        assert fence.current() is lease.fence
        done.append(await in_thread(fence.current))
        lease.fence.clock = lambda: fence.now() + FROZEN_SECONDS
        await world.databases.snapshot("previewd-pr-812-7", "x")

    with pytest.raises(LeaseLost):
        await under_claim(world.store.claims, world.preview, work)
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
    world: World, lease: Claim, engine_server: RecordingEngine
) -> None:
    """A removal waits for a thread; a chore blocks the loop for longer than the lease; then a thread is free."""
    engine, go_on = DockerEngine(engine_server.url), threading.Event()
    await engine._call("connect", lambda api: api.version(api_version=False))
    before = list(engine_server.requests)
    await lease.renew()
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
    world: World, lease: Claim, engine_server: RecordingEngine
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
        await lease.release()
        assert await world.store.claims.acquire(world.preview) is not None
    finally:
        go_on.set()
    await eventually(lambda: asyncio.sleep(0, bool(outcome)), "the late thread was refused")
    assert engine_server.requests == before
    await engine.close()


def _events() -> tuple[threading.Event, threading.Event]:
    return threading.Event(), threading.Event()


@pytest.mark.usefixtures("short_leases")
async def test_streams_ask_when_they_have_their_connection(lease: Claim, engine_server: RecordingEngine) -> None:
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


async def test_together_ends_when_the_lease_is_lost(lease: Claim) -> None:
    """One that is refused ends those beside it, and its reason is the one that is told."""
    with fence.under(lease.fence):
        lease.fence.fall()
        with pytest.raises(LeaseLost):
            await run_all(in_thread(fence.require), asyncio.sleep(60))
