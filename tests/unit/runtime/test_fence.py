"""Until when a worker may act: on a clock that nobody stops, in every task and thread of its work."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext

import pytest

from orchestrator.preview.errors import LeaseLost
from orchestrator.runtime import fence
from orchestrator.runtime.concurrency import in_thread, run_all, run_watched
from orchestrator.runtime.fence import LEASE_SECONDS, MARGIN_SECONDS, Fence


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def up(clock: Clock) -> Fence:
    found = Fence(clock)
    found.extend(clock())
    return found


def test_a_fence_falls_before_its_lease_ends(up: Fence, clock: Clock) -> None:
    clock.seconds += LEASE_SECONDS - MARGIN_SECONDS - 0.001
    up.require()
    clock.seconds += 0.001
    with pytest.raises(LeaseLost, match="not renewed in time"):
        up.require()


def test_a_fence_that_nobody_raised_lets_nothing_through(clock: Clock) -> None:
    assert not Fence(clock).is_up


def test_a_renewal_counts_from_before_it_was_sent(up: Fence, clock: Clock) -> None:
    sent_at = clock()
    clock.seconds += LEASE_SECONDS  # the answer took that long
    up.extend(sent_at)
    assert not up.is_up
    up.extend(clock())
    assert up.is_up


def test_an_answer_that_overtook_another_does_not_shorten_it(up: Fence, clock: Clock) -> None:
    older = clock()
    clock.seconds += 5
    up.extend(clock())
    up.extend(older)
    clock.seconds += LEASE_SECONDS - MARGIN_SECONDS - 1
    assert up.is_up


def test_a_fence_that_fell_stays_down(up: Fence, clock: Clock) -> None:
    up.fall()
    up.extend(clock())
    assert not up.is_up


def test_its_clock_goes_on_while_the_machine_sleeps() -> None:
    assert fence._CLOCK == time.CLOCK_BOOTTIME
    assert abs(fence.now() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 60


def test_who_acts_under_no_lease_is_not_stopped() -> None:
    assert fence.current() is None
    fence.require()


def test_nothing_is_asked_within_what_ends_our_own(up: Fence) -> None:
    up.fall()
    with fence.under(up), fence.under(None):
        fence.require()


async def _require() -> None:
    fence.require()


async def _in_a_task() -> None:
    await asyncio.create_task(_require())


async def _in_together() -> None:
    await run_all(_require(), asyncio.sleep(0))


async def _alongside() -> None:
    await run_watched(_require(), asyncio.sleep(10))


async def _in_a_thread() -> None:
    await in_thread(fence.require)


async def _in_a_thread_of_a_thread() -> None:
    await in_thread(asyncio.run, _in_a_thread())


@pytest.mark.parametrize(
    "work", [_require, _in_a_task, _in_together, _alongside, _in_a_thread, _in_a_thread_of_a_thread]
)
@pytest.mark.parametrize("falls", [False, True])
async def test_tasks_and_threads_ask_the_fence_that_they_began_under(
    up: Fence, work: Callable[[], Awaitable[None]], *, falls: bool
) -> None:
    if falls:
        up.fall()
    with fence.under(up), pytest.raises(LeaseLost) if falls else nullcontext():
        await work()
    fence.require()


async def test_two_runs_side_by_side_have_each_their_own(clock: Clock) -> None:
    """A worker has many previews: one that lost its lease stops none of the others."""
    lost, held = Fence(clock), Fence(clock)
    held.extend(clock())
    outcomes = []

    async def run(one: Fence) -> None:
        with fence.under(one):
            await asyncio.sleep(0)
            outcomes.append((await asyncio.gather(_in_a_thread(), return_exceptions=True))[0])

    await asyncio.gather(run(lost), run(held), run(lost))
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["LeaseLost", "LeaseLost", "NoneType"]
