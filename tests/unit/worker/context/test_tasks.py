"""The jobs of one worker: one of a kind for each preview, none after the end, no spinning."""

import asyncio
from types import SimpleNamespace

import pytest

from orchestrator.preview.state import PreviewId
from tests.support.wait import eventually
from worker.context.tasks import Tasks

SHOP, BLOG = PreviewId(1, 1), PreviewId(2, 1)


async def test_a_preview_has_one_job_of_a_kind_at_a_time() -> None:
    running, begun, go_on = Tasks(), 0, asyncio.Event()

    async def work() -> None:
        nonlocal begun
        begun += 1
        await go_on.wait()

    for _ in range(3):
        running.start("converge", SHOP, work, 10)
    running.start("report", SHOP, work, 10)
    running.start("converge", BLOG, work, 10)
    assert running.count("converge") == 2
    await eventually(lambda: _is(begun == 3), "three of them began")
    go_on.set()
    await eventually(lambda: _is(running.count("converge") == 0), "they end")
    running.start("converge", SHOP, work, 10)
    await eventually(lambda: _is(begun == 4), "the next one may begin")


async def test_one_that_failed_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    running, begun = Tasks(), 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        raise ConnectionRefusedError

    running.start("converge", SHOP, work, 10)
    await eventually(lambda: _is(begun == 1 and running.count("converge") == 0), "it ends")
    for _ in range(3):
        running.start("converge", SHOP, work, 10)
    assert running.count("converge") == 0, "however often it is asked for"
    monkeypatch.setattr("worker.context.tasks.time", SimpleNamespace(monotonic=lambda: float("inf")))
    running.start("converge", SHOP, work, 10)
    assert running.count("converge") == 1
    await running.end()


async def test_no_more_of_a_kind_run_than_may_and_the_next_ask_brings_the_others() -> None:
    running, begun, go_on = Tasks({"converge": 2}), 0, asyncio.Event()

    async def work() -> None:
        nonlocal begun
        begun += 1
        await go_on.wait()

    for number in range(1, 6):
        running.start("converge", PreviewId(1, number), work, 10)
        running.start("report", PreviewId(1, number), work, 10)
    assert (running.count("converge"), running.count("report")) == (2, 5)
    go_on.set()
    await eventually(lambda: _is(running.count("converge") == 0), "they end")
    running.start("converge", PreviewId(1, 3), work, 10)
    await eventually(lambda: _is(begun == 8), "there is room for another one")


async def test_the_end_waits_for_what_runs() -> None:
    running, given_back = Tasks(), False

    async def work() -> None:
        nonlocal given_back
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            given_back = True

    running.start("converge", SHOP, work, 10)
    await asyncio.sleep(0)
    await running.end()
    assert given_back


async def _is(condition: bool) -> bool:
    return condition
