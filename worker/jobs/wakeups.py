"""Hears wake-ups through Redis, as jobs of arq. While Redis is away nothing is heard, and the sweep finds the work.

arq's jobs end at once: the work is a task of ours. So a Redis that goes away takes nothing with it, and a worker that
is killed leaves no job behind that Redis would call taken until its time is up.
"""

import asyncio
from typing import Any, NoReturn, cast

import structlog
from arq.worker import Worker, func
from redis.asyncio.client import PubSub

from orchestrator.preview.state import PreviewId
from orchestrator.runtime.queue import CONVERGE, HEALTH_KEY, QUEUE, WAKE_UPS, deserialize, open_pool, serialize
from worker.context.context import WorkerContext
from worker.jobs import kinds

PAUSE_SECONDS = 2.0
"""Between two attempts to hear."""
POLL_SECONDS = 1.0
"""How late a wake-up is found of which nobody heard, because Redis was restarted in between."""

_CONTEXT = "context"
_log = structlog.get_logger()


async def listen(context: WorkerContext, url: str) -> NoReturn:
    """Hear until cancelled, and begin again whenever Redis went away."""
    heard = True
    while True:
        listener = _Listener(context, url)
        try:
            await listener.run()
        except Exception as error:  # noqa: BLE001 - whatever it is, the sweep goes on and so do we
            if heard or listener.heard:
                _log.warning("no wake-ups are heard", reason=f"{type(error).__name__}: {error}")
            heard = False
        await asyncio.sleep(PAUSE_SECONDS)


class _Woken(Worker):
    """A worker of arq that looks into the queue when it is told to, and every POLL_SECONDS.

    arq's own looks ten times a second, which is a quarter of what an idle worker of previewd does.
    """

    _messages: PubSub | None = None

    async def _poll_iteration(self) -> None:
        if self._messages is None:
            self._messages = self.pool.pubsub(ignore_subscribe_messages=True)
            await self._messages.subscribe(WAKE_UPS)
        elif await self._messages.get_message(timeout=POLL_SECONDS):
            while await self._messages.get_message():  # of a burst: one look is for all
                pass
        await super()._poll_iteration()

    async def hear_no_more(self) -> None:
        if self._messages is not None:
            await self._messages.aclose()  # type: ignore[no-untyped-call]


class _Listener:
    """One worker of arq, from its start until Redis goes away."""

    def __init__(self, context: WorkerContext, url: str) -> None:
        self.heard = False
        self._pool = open_pool(url)
        self._worker = _Woken(
            functions=[func(cast("Any", _wake), name=CONVERGE, keep_result=0, max_tries=1)],
            queue_name=QUEUE,
            redis_pool=self._pool,
            on_startup=cast("Any", self._started),
            handle_signals=False,
            ctx={_CONTEXT: context},
            max_jobs=1000,
            job_timeout=10,
            poll_delay=0.1,
            keep_result=0,
            health_check_interval=10,
            health_check_key=HEALTH_KEY,
            job_serializer=serialize,
            job_deserializer=deserialize,
        )

    async def run(self) -> None:
        try:
            await self._worker.async_run()
        finally:
            await asyncio.gather(*self._worker.tasks.values(), return_exceptions=True)
            try:
                await self._worker.hear_no_more()
            finally:
                await self._pool.aclose()

    async def _started(self, _: dict[Any, Any]) -> None:
        self.heard = True
        _log.info("wake-ups are heard")


async def _wake(job: dict[Any, Any], preview: str) -> None:
    kinds.converge(job[_CONTEXT], PreviewId.parse(preview))
