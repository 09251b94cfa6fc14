"""The stream of a followed log: what its client is sent besides lines, and what is left when it goes."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from orchestrator.preview.records import Deployment, LogLine, Wiring
from orchestrator.preview.state import Step
from orchestrator.runtime.settings import Settings
from orchestrator.store import queries
from orchestrator.store.changes import Changes
from orchestrator.store.queries import Queries
from tests.support.wait import eventually
from webhooks import answers
from webhooks.answers import LARGEST_ID, Silence, event_id
from webhooks.api import Api

NOW = datetime.now(UTC)
DEPLOYMENT = Deployment(
    id=5, generation=1, commit="a" * 40, outcome=None, failed_step=None, reason="", remedy="", log_tail=(), notes=(),
    started_at=NOW, finished_at=None, steps=(), wiring=Wiring(),
)  # fmt: skip
LINE = LogLine(id=9, step=Step.BUILD, line="one", at=NOW)
SETTINGS = Settings(_env_file=None)


class Log(Queries):
    """One line, and then nothing, until it has ended."""

    ended = False

    def __init__(self) -> None:
        super().__init__(create_async_engine("postgresql+asyncpg://nowhere/x"))
        self.looks = 0

    async def log(self, deployment: int, after: int = 0, limit: int = 1000) -> list[LogLine]:
        self.looks += 1
        return [LINE][:limit] if after < LINE.id and deployment == DEPLOYMENT.id else []

    async def _has_ended(self, deployment: int) -> bool:
        return self.ended and deployment == DEPLOYMENT.id


class Stream:
    def __init__(self) -> None:
        self.log, self.changes = Log(), Changes("")
        unused = cast("Any", None)
        api = Api(settings=SETTINGS, store=unused, queries=self.log, queue=unused, changes=self.changes)
        self.events = api._followed(DEPLOYMENT, 0)

    async def read(self, count: int) -> list[bytes]:
        async with asyncio.timeout(5):
            return [await anext(self.events) for _ in range(count)]

    async def rest(self) -> list[bytes]:
        async with asyncio.timeout(5):
            return [event async for event in self.events]


@pytest.fixture
def stream() -> Stream:
    return Stream()


async def test_it_ends_with_its_deployment(stream: Stream) -> None:
    stream.log.ended = True
    [which, line, end] = await stream.rest()
    assert which.startswith(b"event: deployment\ndata: ")
    assert line.endswith(b"\nid: 9\n\n")
    assert end == b"event: end\ndata: {}\n\n"
    assert not stream.changes._subscriptions


async def test_an_idle_stream_shows_that_it_is_alive(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(answers, "KEEPALIVE_SECONDS", 0.0)
    assert (await stream.read(4))[2:] == [b": ping\n\n", b": ping\n\n"]
    stream.log.ended = True
    assert (await stream.rest())[-1] == b"event: end\ndata: {}\n\n"


async def test_when_we_stop_it_ends_without_a_word_of_its_deployment(stream: Stream) -> None:
    await stream.read(2)
    asyncio.get_running_loop().call_soon(stream.changes.close)
    assert await stream.rest() == []


async def test_nothing_is_asked_any_more_when_the_client_has_left(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "POLL_SECONDS", 0.001)
    await stream.read(2)
    waiting = asyncio.create_task(stream.rest())
    await eventually(lambda: looked(stream), "it looks again and again")
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    looks = stream.log.looks
    await asyncio.sleep(0.01)
    assert (stream.log.looks, stream.changes._subscriptions) == (looks, set())


async def looked(stream: Stream) -> bool:
    return stream.log.looks > 5


def test_a_silence_is_broken_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("webhooks.answers.time.monotonic", lambda: clock[0])
    silence, broken = Silence(), []
    for second in range(1, 50):
        clock[0] = float(second)
        if silence.is_too_long(spoken=second == 20):
            broken.append(second)
    assert broken == [15, 35]


@pytest.mark.parametrize(
    ("text", "number"),
    [("7", 7), ("", 0), ("-1", 0), ("x", 0), ("٣", 0), ("9" * 19, LARGEST_ID), ("9" * 5000, 0)],
    ids=lambda value: str(value)[:12],
)
def test_what_a_client_shows_as_its_last_event(text: str, number: int) -> None:
    assert event_id(text) == number
