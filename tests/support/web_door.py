"""The web process' application in memory: deliveries go in, and one of them may be struck on its way.

Its receiver, store and answers are the real ones. Only Redis is not: wake-ups go where `scene` keeps them.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.preview.state import PreviewId
from orchestrator.preview.trust import Pull
from orchestrator.runtime import queue
from orchestrator.runtime.queue import Queue
from orchestrator.runtime.settings import Settings
from orchestrator.store.deliveries import Delivery, Hint, Recorded
from tests.support.faults import Fault, Mode, Moment
from tests.support.mortal import Killed, restart_postgres
from tests.support.scene import Redis, Wakeups
from webhooks.app import create_app
from webhooks.receiver import body, receiver
from webhooks.receiver.signature import Verifier, sign

SECRET = "a webhook secret"
DEADLINE_SECONDS = 0.3
"""Of everything that the receiver limits, so that what hangs does so shortly."""

T = TypeVar("T")


class Strike:
    """What befalls one delivery."""

    def __init__(self, fault: Fault, redis: Redis, database: AsyncEngine) -> None:
        self.struck = False
        self._fault = fault
        self._redis = redis
        self._database = database
        self._restart: asyncio.Task[None] | None = None
        self._is_due = False
        self._hangs = False

    async def passing(self, step: str, act: Callable[[], Awaitable[T]]) -> T:
        """One step on the delivery's way."""
        self.begin(step)
        await self._hang()
        answer = await act()
        self.end(step)
        await self._hang()
        return answer

    def begin(self, step: str) -> None:
        if self._is_due or (self._is_at(step) and self._fault.moment is Moment.BEFORE):
            self._strike()

    def end(self, step: str) -> None:
        if not self._is_at(step):
            return
        if self._fault.moment is Moment.UNRECORDED:
            self._strike()
        elif self._fault.moment is Moment.AFTER:
            self._is_due = True

    async def rest(self) -> None:
        """The delivery is over: what was to strike behind its last step finds nothing to do."""
        self.struck |= self._is_due
        if self._restart is not None:
            await self._restart

    def _is_at(self, step: str) -> bool:
        return not self.struck and step == self._fault.step

    def _strike(self) -> None:
        self.struck, self._is_due = True, False
        match self._fault.mode:
            case Mode.SIGKILL:
                raise Killed
            case Mode.SIGTERM:
                _task().cancel()
            case Mode.RAISE:
                raise RuntimeError("a fault that nobody thought of")
            case Mode.FLUSHALL:
                self._redis.woken.clear()
            case Mode.REDIS_DOWN:
                self._redis.woken.clear()
                self._redis.is_down = True
            case Mode.POSTGRES:
                self._restart = asyncio.create_task(restart_postgres(self._database))
            case Mode.HANG if self._fault.step.startswith("R2"):
                time.sleep(2 * DEADLINE_SECONDS)  # it computes, and so nothing else does
            case Mode.HANG:
                self._hangs = True
            case Mode.DOCKERD | Mode.ENGINE | Mode.GITHUB:
                """The receiver asks neither the Docker Engine nor GitHub."""

    async def _hang(self) -> None:
        if self._hangs:
            self._hangs = False
            await asyncio.sleep(2 * DEADLINE_SECONDS)


def _task() -> "asyncio.Task[Any]":
    task = asyncio.current_task()
    assert task is not None
    return task


_current: ContextVar[Strike | None] = ContextVar("strike", default=None)


async def _passing(step: str, act: Callable[[], Awaitable[T]]) -> T:
    strike = _current.get()
    return await (act() if strike is None else strike.passing(step, act))


class _Verifier(Verifier):
    def accepts(self, header: bytes) -> bool:
        strike = _current.get()
        if strike is not None:
            strike.begin("R2 verify")
        accepted = super().accepts(header)
        if strike is not None:
            strike.end("R2 verify")
        return accepted


class _Post(Queue):
    """Wake-ups for the workers of many worlds."""

    def __init__(self) -> None:
        self.of: dict[int, Redis] = {}

    async def wake(self, preview: PreviewId, generation: int) -> bool:
        wakeups = Wakeups(self.of[preview.repository])
        return await _passing("R5 wake", lambda: wakeups.wake(preview, generation))


class Door:
    """The application of one web process; `post.of` says whose wake-ups go where."""

    def __init__(self, database: AsyncEngine, patch: pytest.MonkeyPatch) -> None:
        self.post = _Post()
        patch.setattr("webhooks.app.connect", lambda *_, **__: database)
        patch.setattr("webhooks.app.open_queue", lambda _: self.post)
        patch.setattr(receiver, "Verifier", _Verifier)
        patch.setattr(body, "BODY_SECONDS", DEADLINE_SECONDS)
        patch.setattr(receiver, "RECORD_SECONDS", DEADLINE_SECONDS)
        patch.setattr(queue, "WAKE_SECONDS", DEADLINE_SECONDS)
        secret = SecretStr("postgresql://not.used/x")
        self._app = create_app(
            Settings(
                database_url=secret,
                redis_url=SecretStr("redis://not.used"),
                github_webhook_secret=(SecretStr(SECRET),),
                domain="example.com",
                _env_file=None,
            )
        )
        deliveries = self._app.state.web.store.deliveries
        record = deliveries.record

        async def recorded(delivery: Delivery, hint: Hint | None) -> Recorded | None:
            return await _passing("R3 record", lambda: record(delivery, hint))

        deliveries.record = recorded

    async def deliver(self, pull: Pull, action: str, guid: str = "", strike: Strike | None = None) -> int | None:
        """Post one delivery about a pull request. The answer's status, or None when none came back."""
        content = json.dumps(_payload(pull, action)).encode()
        headers = {
            "content-type": "application/json",
            "x-github-event": "pull_request",
            "x-github-delivery": guid or str(uuid4()),
            "x-hub-signature-256": sign(SECRET, content),
        }
        token = _current.set(strike)
        answered: list[int] = []
        call = asyncio.create_task(self._call(content, headers, answered))
        _current.reset(token)
        await asyncio.gather(call, return_exceptions=True)
        return answered[0] if answered else None

    async def _call(self, content: bytes, headers: dict[str, str], answered: list[int]) -> None:
        begun: list[int] = []

        async def read() -> dict[str, Any]:
            return {"type": "http.request", "body": content, "more_body": False}

        async def receive() -> dict[str, Any]:
            return await _passing("R1 read body", read)

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                begun.append(message["status"])
                return

            async def respond() -> None:
                answered.append(begun[0])

            await _passing("R4 respond", respond)

        await self._app(_scope(headers), receive, send)


def _scope(headers: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/webhooks/github",
        "raw_path": b"/webhooks/github",
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }


def _payload(pull: Pull, action: str) -> dict[str, Any]:
    return {
        "action": action,
        "number": pull.number,
        "repository": {"id": pull.repository, "full_name": pull.repository_name},
        "pull_request": {
            "number": pull.number,
            "title": pull.title,
            "user": {"login": pull.author},
            "head": {"ref": pull.head_branch, "sha": pull.head_commit, "repo": None},
        },
    }
