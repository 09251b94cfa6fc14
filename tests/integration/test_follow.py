"""A log followed to its end, on a real Postgres. What happens meanwhile happens in the follower's pauses: no clock."""

from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.preview.errors import Superseded
from orchestrator.preview.state import PreviewId, Step
from orchestrator.store.claims import Claim
from orchestrator.store.deliveries import Delivery, Hint
from orchestrator.store.queries import PAGE_LINES, Queries
from orchestrator.store.store import Store

ID = PreviewId(812, 7)


class Meanwhile:
    """A pause in which the next thing happens; after the last one nobody waits any more."""

    def __init__(self, *things: Callable[[], Awaitable[object]]) -> None:
        self.left = list(things)

    async def __call__(self, _: float) -> bool:
        if not self.left:
            return False
        await self.left.pop(0)()
        return True


@pytest.fixture
def store(database: AsyncEngine) -> Store:
    return Store.of(database)


@pytest.fixture
def queries(database: AsyncEngine) -> Queries:
    return Queries(database)


@pytest.fixture
async def lease(store: Store) -> Claim:
    hint = Hint(
        preview=ID, repository_name="acme/shop", title="", author="ada", branch="feature", hosts=("shop.example.com",)
    )
    delivery = Delivery(id=str(uuid4()), event="pull_request", action="opened", outcome="accepted", reason="")
    await store.deliveries.record(delivery, hint)
    lease = await store.claims.acquire(ID)
    assert lease is not None
    return lease


@pytest.fixture
async def deployment(store: Store, lease: Claim) -> int:
    return await lease.deployments.start(1, "a" * 40)


async def followed(queries: Queries, deployment: int, meanwhile: Meanwhile) -> list[list[str]]:
    """All batches, in which an empty one stands where the follower had caught up."""
    return [[line.line for line in lines] async for lines in queries.follow(deployment, pause=meanwhile)]


async def test_it_goes_on_until_the_deployment_has_ended(
    store: Store, queries: Queries, lease: Claim, deployment: int
) -> None:
    async def end() -> None:
        await store.logs.append(deployment, Step.BUILD, ["three"])
        await lease.deployments.close("ready")

    await store.logs.append(deployment, Step.SOURCE, ["one"])
    meanwhile = Meanwhile(lambda: store.logs.append(deployment, Step.BUILD, ["two"]), end)
    found = await followed(queries, deployment, meanwhile)
    assert found == [["one"], [], ["two"], [], ["three"], []]


async def test_it_ends_when_a_newer_deployment_has_begun(
    store: Store, queries: Queries, lease: Claim, deployment: int
) -> None:
    """Its worker may have been killed, so that nobody has written down how it ended."""

    async def supersede() -> None:
        await store.logs.append(deployment, Step.BUILD, ["last"])
        newer = await lease.deployments.start(2, "b" * 40)
        await store.logs.append(newer, Step.SOURCE, ["not of this one"])

    assert await followed(queries, deployment, Meanwhile(supersede)) == [[], ["last"], []]


async def test_it_ends_when_it_was_superseded(store: Store, queries: Queries, lease: Claim, deployment: int) -> None:
    await store.logs.append(deployment, Step.BUILD, ["one"])
    await lease.deployments.close("superseded", Superseded("a newer commit"))
    assert await followed(queries, deployment, Meanwhile()) == [["one"], []]


async def test_what_is_written_after_the_outcome_is_not_lost(
    store: Store, queries: Queries, lease: Claim, deployment: int
) -> None:
    await store.logs.append(deployment, Step.BUILD, ["one"])
    await lease.deployments.close("failed")
    found: list[str] = []
    async for lines in queries.follow(deployment):
        found += [line.line for line in lines]
        if found == ["one"]:
            await store.logs.append(deployment, Step.BUILD, ["late"])
    assert found == ["one", "late"]


async def test_nobody_waits_for_what_is_there(store: Store, queries: Queries, deployment: int) -> None:
    await store.logs.append(deployment, Step.BUILD, [str(number) for number in range(PAGE_LINES + 1)])
    found = await followed(queries, deployment, Meanwhile())
    assert [len(lines) for lines in found] == [PAGE_LINES, 1, 0]
    assert found[1] == [str(PAGE_LINES)]


async def test_it_goes_on_behind_a_line_and_ends_when_it_is_told_to(
    store: Store, queries: Queries, deployment: int
) -> None:
    await store.logs.append(deployment, Step.BUILD, ["one", "two"])
    first = (await queries.log(deployment))[0].id
    batches = [lines async for lines in queries.follow(deployment, first, Meanwhile())]
    assert [[line.line for line in lines] for lines in batches] == [["two"], []]


async def test_a_deployment_that_is_not_there_has_ended(queries: Queries) -> None:
    assert await followed(queries, 1, Meanwhile()) == [[]]
