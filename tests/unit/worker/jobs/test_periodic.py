"""What a worker does again and again."""

import asyncio
from typing import cast

import pytest

from worker.context.context import WorkerContext
from worker.jobs.periodic import PeriodicTask, run_periodically


@pytest.mark.parametrize("error", [ConnectionRefusedError("Postgres is away"), KeyError("a fault of our own")])
async def test_a_round_that_fails_does_not_end_the_next(error: Exception) -> None:
    rounds, again = 0, asyncio.Event()

    async def work(_: WorkerContext) -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise error
        again.set()

    task = asyncio.create_task(
        run_periodically(PeriodicTask(name="work", round=work, pause=0), cast("WorkerContext", None))
    )
    try:
        await asyncio.wait_for(again.wait(), 30)
    finally:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
