"""`python -m tests.chaos.worker PREVIEW POINT MOMENT`: does one preview's work, and kills itself on the way.

It is the product's worker, but each of its ports has a fuse in front. When the fuse never burns
the work is done and the exit code is 0.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import fields, replace
from typing import Any

import asyncpg
import httpx
from sqlalchemy import event

from orchestrator.preview.state import PreviewId
from orchestrator.runtime import log
from orchestrator.runtime.installation import load_settings
from orchestrator.store.claims import Claim
from orchestrator.store.store import Store
from tests.chaos.points import POINTS, Moment, Point
from tests.support.intercept import intercept
from worker.context.context import WorkerContext
from worker.converge import converge
from worker.main import open_context
from worker.report import report

_RECORDS = frozenset({"store", "reports"})
"""Ports that write to our own Postgres."""

_NO_RECORDS = frozenset(
    {"row", "renew", "deployments.times_ready", "subnets.of", "subnets.taken", "known.live_repositories", "logs.append"}
)
"""Of these ports: what reads, or keeps the lease, or is not guarded by it."""

_in_the_call: ContextVar[bool] = ContextVar("in the call", default=False)


class Fuse:
    """Ends this process at one moment of one call, as the kernel does it: without a word."""

    def __init__(self, point: Point, moment: Moment) -> None:
        self._point, self._moment = point, moment
        self._calls = 0
        self._burning = False

    async def call(self, port: str, method: str, effect: Callable[[], Awaitable[Any]]) -> Any:
        """Make a call, unless it is the last thing that we do."""
        is_it = self._is_it(port, method)
        if is_it and self._moment is Moment.BEFORE:
            _die()
        token = _in_the_call.set(is_it)
        try:
            result = await effect()
        except Exception:
            self._calls -= is_it  # what fails has no effect: the next such call is the one
            raise
        finally:
            _in_the_call.reset(token)
        self._after(port, method, is_it=is_it)
        return result

    def before_commit(self, _: object) -> None:
        """Right before one of our own transactions is committed."""
        if _in_the_call.get() and self._moment is Moment.UNRECORDED:
            _die()

    def _after(self, port: str, method: str, *, is_it: bool) -> None:
        is_record = port in _RECORDS and method not in _NO_RECORDS
        if (is_it and (is_record or self._moment is Moment.UNRECORDED)) or (self._burning and is_record):
            _die()
        self._burning = self._burning or is_it

    def _is_it(self, port: str, method: str) -> bool:
        if port != self._point.port or not method.startswith(self._point.method):
            return False
        self._calls += 1
        return self._calls == self._point.nth


class Fused:
    """A port of the worker's, each of whose calls goes through the fuse; `topic` is a part of the store, with a dot."""

    def __init__(self, real: object, port: str, fuse: Fuse, topic: str = "") -> None:
        self._real, self._port, self._fuse, self._topic = real, port, fuse, topic

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def call(*arguments: Any, **named: Any) -> Any:
            method = f"{self._topic}{name}"
            answer = await self._fuse.call(self._port, method, lambda: found(*arguments, **named))
            if isinstance(answer, Claim):
                intercept(answer, lambda name, act: self._fuse.call(self._port, name, act))
            return answer

        return call


def _fused_store(store: Store, fuse: Fuse) -> Store:
    topics: dict[str, Any] = {}
    for topic in fields(store):
        port, prefix = ("reports", "") if topic.name == "reports" else ("store", f"{topic.name}.")
        topics[topic.name] = Fused(getattr(store, topic.name), port, fuse, prefix)
    return replace(store, **topics)


def fused(context: WorkerContext, fuse: Fuse) -> WorkerContext:
    """The same context, with the fuse in front of each port."""
    event.listen(context.store.claims._engine.sync_engine, "commit", fuse.before_commit)
    _fuse_statements(fuse)
    context.proxy.event_hooks = {"response": [_fused_answer(fuse)]}
    ports = ("engine", "databases", "forge", "sources")
    in_front: dict[str, Any] = {port: Fused(getattr(context, port), port, fuse) for port in ports}
    in_front["store"] = _fused_store(context.store, fuse)
    return replace(context, **in_front)


def _fuse_statements(fuse: Fuse) -> None:
    """The previews' server is spoken to in single statements, each of which has an effect of its own."""
    execute = asyncpg.Connection.execute

    async def call(self: Any, query: str, *arguments: Any, **named: Any) -> Any:
        return await fuse.call("postgres", query, lambda: execute(self, query, *arguments, **named))

    asyncpg.Connection.execute = call  # type: ignore[method-assign]


def _fused_answer(fuse: Fuse) -> Callable[[httpx.Response], Awaitable[None]]:
    async def answered(response: httpx.Response) -> None:
        await fuse.call("proxy", response.request.method, lambda: asyncio.sleep(0))

    return answered


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def main(preview: PreviewId, point: Point, moment: Moment) -> None:
    settings = load_settings()
    log.configure(settings.log_format)
    async with open_context(settings) as real:
        context = fused(real, Fuse(point, moment))
        await converge(context, preview)
        await report(context, preview)


if __name__ == "__main__":
    asyncio.run(main(PreviewId.parse(sys.argv[1]), POINTS[int(sys.argv[2])], Moment(sys.argv[3])))
