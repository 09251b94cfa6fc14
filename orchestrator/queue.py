"""The wake-up: tells a worker that a preview should be looked at. Losing one costs time, never an event.

arq is spoken here, in `worker/jobs` and in `worker/main` only. A job carries nothing but a preview's id; what is to be
done stands in Postgres.
"""

import json
from typing import Any

from arq.connections import ArqRedis, RedisSettings
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError

from orchestrator.preview import PreviewId

QUEUE = "previewd:queue"
HEALTH_KEY = "previewd:worker"
CONVERGE = "converge"
REPORT = "report"


class Queue:
    """Wakes workers. Without Redis a wake-up is lost and the sweep makes up for it: `wake` then says False."""

    def __init__(self, pool: ArqRedis) -> None:
        self._pool = pool

    async def wake(self, preview: PreviewId, generation: int) -> bool:
        """Have a worker converge this preview. Repeating it for one generation is harmless."""
        return await self._enqueue(CONVERGE, preview, f"{CONVERGE}:{preview}:{generation}")

    async def wake_again(self, preview: PreviewId, generation: int, attempt: int) -> bool:
        """Wake although the same generation was queued before: whoever took that job is dead or gave up."""
        return await self._enqueue(CONVERGE, preview, f"{CONVERGE}:{preview}:{generation}:{attempt}")

    async def report(self, preview: PreviewId) -> bool:
        """Have the forge told about this preview. While one such job waits or runs, another is not queued."""
        return await self._enqueue(REPORT, preview, f"{REPORT}:{preview}")

    async def reachable(self) -> bool:
        try:
            return bool(await self._pool.ping())
        except (RedisError, OSError, TimeoutError):
            return False

    async def close(self) -> None:
        await self._pool.aclose()

    async def _enqueue(self, function: str, preview: PreviewId, job_id: str) -> bool:
        try:
            await self._pool.enqueue_job(function, str(preview), _job_id=job_id)
        except (RedisError, OSError, TimeoutError):
            return False
        return True


def redis_settings(url: str, retries: int) -> RedisSettings:
    """Settings that survive a restart of Redis: arq's own end the process at the first lost connection."""
    settings = RedisSettings.from_dsn(url)
    settings.conn_timeout = 1
    settings.conn_retries = retries
    settings.conn_retry_delay = 0
    settings.retry_on_timeout = True
    settings.retry_on_error = [ConnectionError, TimeoutError, OSError, RedisError]
    settings.retry = Retry(ExponentialBackoff(cap=2, base=0.2), retries)
    return settings


def open_queue(url: str) -> Queue:
    """A queue that connects when first used: the receiver must start, and answer 202, without Redis."""
    settings = redis_settings(url, retries=0)
    pool = ArqRedis(
        host=settings.host if isinstance(settings.host, str) else "",
        port=settings.port,
        db=settings.database,
        username=settings.username,
        password=settings.password,
        socket_connect_timeout=1,
        socket_timeout=2,
        job_serializer=serialize,
        job_deserializer=deserialize,
        default_queue_name=QUEUE,
    )
    return Queue(pool)


def serialize(job: dict[str, Any]) -> bytes:
    """JSON, not arq's default pickle: whoever can write to Redis must not be able to run code."""
    return json.dumps(job, default=str).encode()


def deserialize(job: bytes) -> dict[str, Any]:
    return dict(json.loads(job))
