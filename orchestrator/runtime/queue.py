"""The wake-up: tells a worker that a preview should be looked at. Losing one costs time, never an event.

arq is spoken here and in `worker/jobs/wakeups` only. A job carries nothing but a preview's id; what is to be done
stands in Postgres.
"""

import asyncio
import json
from typing import Any

import structlog
from arq.connections import ArqRedis, RedisSettings
from redis.exceptions import RedisError

from orchestrator.preview.state import PreviewId

QUEUE = "previewd:queue"
HEALTH_KEY = "previewd:worker"
CONVERGE = "converge"
WAKE_UPS = "previewd:wake-ups"
"""A channel: a message in it has workers look into the queue at once."""
WAKE_SECONDS = 2.0
"""How long a request is kept open for a wake-up: what it asked for is recorded already."""

_log = structlog.get_logger()


class Queue:
    """Wakes workers. Without Redis a wake-up is lost and the sweep makes up for it: `wake` then says False."""

    def __init__(self, pool: ArqRedis) -> None:
        self._pool = pool

    async def wake(self, preview: PreviewId, generation: int) -> bool:
        """Have a worker converge this preview. Repeating it for one generation is harmless."""
        try:
            await self._pool.enqueue_job(CONVERGE, str(preview), _job_id=f"{CONVERGE}:{preview}:{generation}")
            await self._pool.publish(WAKE_UPS, "")
        except (RedisError, OSError, TimeoutError):
            return False
        return True

    async def reachable(self) -> bool:
        try:
            return bool(await self._pool.ping())
        except (RedisError, OSError, TimeoutError):
            return False

    async def close(self) -> None:
        await self._pool.aclose()


async def wake_soon(queue: Queue, preview: PreviewId, generation: int) -> None:
    """Wake a worker if that can be done soon. A Redis that is away or hangs is no error: the sweep finds the work."""
    try:
        async with asyncio.timeout(WAKE_SECONDS):
            awake = await queue.wake(preview, generation)
    except TimeoutError:
        awake = False
    if not awake:
        _log.warning("worker not woken: the sweep will find it", preview=str(preview), generation=generation)


def open_queue(url: str) -> Queue:
    """A queue that connects when first used: the receiver must start, and answer 202, without Redis."""
    return Queue(open_pool(url))


def open_pool(url: str) -> ArqRedis:
    """Connections that are made when they are needed. A Redis that hangs is as good as none: nothing waits for it."""
    settings = RedisSettings.from_dsn(url)
    return ArqRedis(
        host=settings.host if isinstance(settings.host, str) else "",
        port=settings.port,
        unix_socket_path=settings.unix_socket_path,
        db=settings.database,
        username=settings.username,
        password=settings.password,
        ssl=settings.ssl,
        socket_connect_timeout=1,
        socket_timeout=2,
        job_serializer=serialize,
        job_deserializer=deserialize,
        default_queue_name=QUEUE,
    )


def serialize(job: dict[str, Any]) -> bytes:
    """JSON, not arq's default pickle: whoever can write to Redis must not be able to run code."""
    return json.dumps(job, default=str).encode()


def deserialize(job: bytes) -> dict[str, Any]:
    return dict(json.loads(job))
