"""The truth in a real Postgres: generations, leases, guarded writes, and what happens when several write at once."""

import asyncio
import ipaddress
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.preview.errors import BuildError, LeaseLost, OperatorError
from orchestrator.preview.state import PreviewId, State, Step
from orchestrator.store.claims import Claim
from orchestrator.store.deliveries import Delivery, Hint
from orchestrator.store.queries import Queries
from orchestrator.store.store import Store
from orchestrator.store.tables import previews, subnets

ID = PreviewId(812, 7)


def hint(preview: PreviewId = ID, *hosts: str) -> Hint:
    return Hint(
        preview=preview,
        repository_name="acme/shop",
        title="A change",
        author="ada",
        branch="feature",
        hosts=hosts or (f"pr-{preview.number}.example.com",),
    )


def delivery(guid: str) -> Delivery:
    return Delivery(id=guid, event="pull_request", action="opened", outcome="accepted", reason="")


async def hinted(store: Store, wanted: Hint) -> None:
    await store.deliveries.record(delivery(str(uuid4())), wanted)


@pytest.fixture
def store(database: AsyncEngine) -> Store:
    return Store.of(database)


@pytest.fixture
def queries(database: AsyncEngine) -> Queries:
    return Queries(database)


async def leased(store: Store) -> Claim:
    await hinted(store, hint())
    lease = await store.claims.acquire(ID)
    assert lease is not None
    return lease


async def expire(database: AsyncEngine, lease: Claim) -> None:
    """What the database's clock does when a worker stays silent."""
    async with database.begin() as connection:
        past = previews.c.lease_expires_at - timedelta(minutes=1)
        await connection.execute(
            update(previews).where(previews.c.lease_token == lease.token).values(lease_expires_at=past)
        )


async def test_a_delivery_is_recorded_once_and_bumps_once(store: Store) -> None:
    await store.deliveries.record(delivery("guid"), hint())
    await store.deliveries.record(delivery("guid"), hint())
    lease = await store.claims.acquire(ID)
    assert lease is not None
    assert await lease.renew() == 1


async def test_ten_deliveries_at_once_for_a_new_pull_request_make_one_preview(store: Store, queries: Queries) -> None:
    await asyncio.gather(*(store.deliveries.record(delivery(f"guid-{n}"), hint()) for n in range(10)))
    assert len(await queries.live()) == 1
    lease = await store.claims.acquire(ID)
    assert lease is not None
    assert await lease.renew() == 10


async def test_two_repositories_of_one_name_get_hosts_of_their_own(store: Store, queries: Queries) -> None:
    await hinted(store, hint(ID, "shop.example.com", "shop-812.example.com"))
    await hinted(store, hint(PreviewId(813, 7), "shop.example.com", "shop-813.example.com"))
    assert {preview.host for preview in await queries.live()} == {"shop.example.com", "shop-813.example.com"}
    with pytest.raises(OperatorError, match="every host"):
        await hinted(store, hint(PreviewId(814, 7), "shop.example.com"))


async def test_one_worker_at_a_time(store: Store, database: AsyncEngine) -> None:
    lease = await leased(store)
    assert await store.claims.acquire(ID) is None
    await expire(database, lease)
    taken = await store.claims.acquire(ID)
    assert taken is not None
    assert taken.token != lease.token


async def test_a_worker_that_lost_its_lease_changes_nothing(
    store: Store, queries: Queries, database: AsyncEngine
) -> None:
    lease = await leased(store)
    deployment = await lease.deployments.start(1, "c0ffee")
    await expire(database, lease)
    writes = (
        lease.renew,
        lease.row,
        lambda: lease.advance(State.BUILDING, "late"),
        lambda: lease.settle(1),
        lambda: lease.postpone("late", 1),
        lambda: lease.keep_secrets(b"late"),
        lambda: lease.serving.set_candidate("c0ffee", "10.0.0.1:80", "token"),
        lambda: lease.serving.promote(["late"], "late"),
        lease.serving.unroute,
        lambda: lease.deployments.start(1, "late"),
        lambda: lease.deployments.close("ready"),
        lambda: lease.deployments.note(deployment, ["late"]),
        lambda: lease.deployments.enter_step(deployment, Step.BUILD, State.BUILDING),
        lambda: lease.deployments.leave_step(deployment, Step.BUILD),
        lambda: lease.subnets.take("late", ipaddress.IPv4Network("10.0.0.0/27")),
        lease.subnets.free,
    )
    before = await queries.preview(ID)
    for write in writes:
        with pytest.raises(LeaseLost):
            await write()
    assert await queries.preview(ID) == before
    assert [found.outcome for found in await queries.deployments(ID)] == [None]
    await lease.release()


async def test_every_change_of_state_is_recorded_and_forbidden_ones_are_refused(store: Store, queries: Queries) -> None:
    lease = await leased(store)
    await lease.advance(State.BUILDING, "source begins")
    await lease.advance(State.BUILDING, "source begins")
    with pytest.raises(OperatorError, match="cannot go from building to ready"):
        await lease.advance(State.READY, "unproven")
    found = [(change.source, change.target, change.reason) for change in await queries.transitions(ID)]
    assert found == [(State.QUEUED, State.BUILDING, "source begins")]


async def test_work_is_due_until_it_is_settled(store: Store) -> None:
    lease = await leased(store)
    assert await store.generations.due() == [], "somebody is at it"
    await lease.release()
    assert await store.generations.due() == [(ID, 1)]
    lease = await store.claims.acquire(ID) or lease
    await lease.settle(1)
    await lease.release()
    assert await store.generations.due() == []
    assert await store.claims.acquire(ID) is None, "nothing is to be done"
    await hinted(store, hint())
    assert await store.generations.due() == [(ID, 2)]


async def test_what_is_postponed_waits_but_a_new_hint_does_not(store: Store) -> None:
    lease = await leased(store)
    assert await lease.postpone("GitHub is away; trying again", 3600) == 1
    await lease.release()
    assert await store.generations.due() == []
    await hinted(store, hint())
    assert await store.generations.due() == [(ID, 2)]


async def test_a_deployment_keeps_its_steps_its_end_and_its_log(store: Store, queries: Queries) -> None:
    lease = await leased(store)
    number = await lease.deployments.start(1, "c0ffee")
    await lease.deployments.enter_step(number, Step.SOURCE, State.BUILDING)
    await lease.deployments.leave_step(number, Step.SOURCE)
    await lease.deployments.enter_step(number, Step.BUILD, State.BUILDING)
    await store.logs.append(number, Step.BUILD, ["one", "two\0"])
    await lease.deployments.close("failed", BuildError("it broke", "mend it", ("last words",)))
    (found,) = await queries.deployments(ID)
    assert (found.outcome, found.failed_step, found.reason) == ("failed", Step.BUILD, "it broke")
    assert (found.remedy, found.log_tail) == ("mend it", ("last words",))
    assert [(times.step, times.finished_at is None) for times in found.steps] == [
        (Step.SOURCE, False),
        (Step.BUILD, True),
    ]
    assert [line.line for line in await queries.log(number)] == ["one", "two"]


async def test_what_a_killed_worker_left_open_is_closed_by_the_next_start(store: Store, queries: Queries) -> None:
    lease = await leased(store)
    await lease.deployments.start(1, "c0ffee")
    await lease.deployments.start(1, "c0ffee")
    assert [found.outcome for found in await queries.deployments(ID)] == [None, "interrupted"]


async def test_a_candidate_serves_nobody_until_it_is_promoted(store: Store, queries: Queries) -> None:
    lease = await leased(store)
    for state in (State.BUILDING, State.PREPARING, State.STARTING):
        await lease.advance(state, "on its way")
    await lease.serving.set_candidate("c0ffee", "10.0.0.2:8000", "token")
    route = await queries.route("pr-7.example.com")
    assert route is not None
    assert (route.upstream, route.candidate_upstream, route.probe_token) == (None, "10.0.0.2:8000", "token")
    await lease.serving.promote(["container"], "proven")
    route = await queries.route("pr-7.example.com")
    assert route is not None
    assert (route.upstream, route.commit, route.candidate_upstream, route.probe_token) == (
        "10.0.0.2:8000",
        "c0ffee",
        None,
        None,
    )
    assert list((await lease.row()).serving.containers) == ["container"]


async def test_no_subnet_is_given_twice(store: Store) -> None:
    lease = await leased(store)
    subnet = ipaddress.IPv4Network("10.213.0.0/27")
    assert await lease.subnets.take("one", subnet)
    assert not await lease.subnets.take("two", subnet)
    assert await store.subnets.of("one") == subnet
    await lease.subnets.free()
    assert await store.subnets.taken() == []
    assert await lease.subnets.take("two", subnet)
    await lease.subnets.give_up(subnet)
    await lease.subnets.free()
    assert await store.subnets.taken() == [subnet], "what is not ours stays taken"


async def test_a_subnet_that_was_given_up_is_tried_again_some_day(store: Store, database: AsyncEngine) -> None:
    lease = await leased(store)
    subnet = ipaddress.IPv4Network("10.213.0.0/27")
    await lease.subnets.take("one", subnet)
    await lease.subnets.give_up(subnet)
    async with database.begin() as connection:
        await connection.execute(update(subnets).values(at=subnets.c.at - timedelta(hours=1)))
    await store.subnets.retry(3500)
    assert await store.subnets.taken() == []


async def test_the_forge_is_told_again_after_each_change(store: Store, queries: Queries) -> None:
    lease = await leased(store)
    assert await store.reports.due() == [ID]
    preview = await queries.preview(ID)
    assert preview is not None
    await store.reports.end(ID, preview.updated_at)
    assert await store.reports.due() == []
    await lease.advance(State.BUILDING, "source begins")
    assert await store.reports.due() == [ID]
