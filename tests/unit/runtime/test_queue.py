"""A wake-up that nobody waits for."""

import asyncio
from typing import cast

import pytest
from arq.connections import ArqRedis
from redis.exceptions import RedisError
from structlog.testing import capture_logs

from orchestrator.preview.state import PreviewId
from orchestrator.runtime import queue
from orchestrator.runtime.queue import Queue, wake_soon

SHOP = PreviewId(4211, 7)


class Redis:
    def __init__(self, *, hangs: bool = False, fails: bool = False) -> None:
        self.jobs: list[tuple[str, ...]] = []
        self.published: list[str] = []
        self._hangs, self._fails = hangs, fails

    async def enqueue_job(self, name: str, preview: str, *, _job_id: str) -> None:
        if self._hangs:
            await asyncio.Event().wait()
        if self._fails:
            raise RedisError
        self.jobs.append((name, preview, _job_id))

    async def publish(self, channel: str, _: str) -> None:
        self.published.append(channel)


async def woken(redis: Redis) -> list[str]:
    """What is logged."""
    with capture_logs() as logs:
        await wake_soon(Queue(cast("ArqRedis", redis)), SHOP, 3)
    return [entry["event"] for entry in logs]


async def test_a_worker_is_woken() -> None:
    redis = Redis()
    assert await woken(redis) == []
    assert redis.jobs == [("converge", "4211-7", "converge:4211-7:3")]
    assert redis.published == [queue.WAKE_UPS], "behind the job: who hears it finds that"


@pytest.mark.parametrize("redis", [Redis(hangs=True), Redis(fails=True)], ids=["hangs", "fails"])
async def test_a_redis_that_is_away_is_no_error(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "WAKE_SECONDS", 0.01)
    assert await woken(redis) == ["worker not woken: the sweep will find it"]
