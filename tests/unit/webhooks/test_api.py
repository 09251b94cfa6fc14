"""The JSON of every route of the API, to the byte: programs read it, so nothing of it changes by accident."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from orchestrator.databases.usage import DatabaseUse
from orchestrator.preview.records import (
    Deployment,
    Leak,
    LogLine,
    Preview,
    StepTimes,
    WiredForm,
    WiredValue,
    Wiring,
)
from orchestrator.preview.state import PreviewId, State, Step
from orchestrator.runtime.settings import Settings
from orchestrator.store.leaks import Round
from webhooks.app import create_app

SHOP = PreviewId(4211, 7)
BEGAN, ENDED = datetime(2026, 3, 1, 8, 30, tzinfo=UTC), datetime(2026, 3, 1, 8, 31, 5, 1200, tzinfo=UTC)
SETTINGS = Settings(
    database_url=SecretStr("postgresql://x@127.0.0.1:1/x"),
    redis_url=SecretStr("redis://127.0.0.1:1"),
    admin_token=SecretStr("admin-token"),
    domain="preview.test",
    _env_file=None,
)
PREVIEW = Preview(
    id=SHOP, repository_name="acme/shop", title="Add “prices” <b>", author="mira", branch="prices",
    host="pr-7-shop.preview.test", state=State.WAITING, reason="no room", commit="b" * 40, serving_commit=None,
    created_at=BEGAN, updated_at=ENDED, waits_for="memory", place=2,
)  # fmt: skip
RUNNING = Deployment(
    id=6, generation=2, commit="b" * 40, outcome=None, failed_step=None, reason="", remedy="", log_tail=(), notes=(),
    started_at=ENDED, finished_at=None, steps=(), wiring=Wiring(),
)  # fmt: skip
FAILED = Deployment(
    id=5, generation=1, commit="a" * 40, outcome="failed", failed_step=Step.LAUNCH, reason="it ended", remedy="mend it",
    log_tail=("<i>tail</i>",), notes=("a port was taken away",), started_at=BEGAN, finished_at=ENDED,
    steps=(StepTimes(step=Step.BUILD, started_at=BEGAN, finished_at=ENDED),
           StepTimes(step=Step.LAUNCH, started_at=ENDED, finished_at=None)),
    wiring=Wiring(
        forms=(WiredForm(variable="URL", scheme="postgresql", why="the file has it so", place="compose.yaml:3"),),
        values=(WiredValue(service="app", variable="URL", place="compose.yaml:3", before=None, after="new"),),
    ),
)  # fmt: skip
LINES = [
    LogLine(id=9, step=Step.BUILD, line="one “1”", at=BEGAN),
    LogLine(id=10, step=Step.LAUNCH, line="\x1b[1mtwo", at=ENDED),
]
USE = DatabaseUse(
    bytes=1900, limit_bytes=2000, connections=18, connection_limit=20, is_crowded=True, ended="too long",
    ended_at=None, measured_at=ENDED,
)  # fmt: skip
LEAK = Leak(kind="volume", name="v", preview="4211-7", reason="preview 4211-7 is removed", since=BEGAN)

PREVIEW_JSON = (
    '{"id":"4211-7","repository":"acme/shop","number":7,"title":"Add “prices” <b>","author":"mira","branch":"prices",'
    '"state":"waiting","reason":"no room","host":"pr-7-shop.preview.test","url":"http://pr-7-shop.preview.test:8080",'
    f'"commit":"{"b" * 40}","serving_commit":null,"waits_for":"memory","place":2,'
    '"created_at":"2026-03-01T08:30:00Z","updated_at":"2026-03-01T08:31:05.001200Z"}'
)
RUNNING_JSON = (
    f'{{"id":6,"generation":2,"commit":"{"b" * 40}","outcome":null,"failed_step":null,"reason":"","remedy":"",'
    '"log_tail":[],"notes":[],"started_at":"2026-03-01T08:31:05.001200Z","finished_at":null,"steps":[],'
    '"wiring":{"forms":[],"values":[]}}'
)
FAILED_JSON = (
    f'{{"id":5,"generation":1,"commit":"{"a" * 40}","outcome":"failed","failed_step":"launch","reason":"it ended",'
    '"remedy":"mend it","log_tail":["<i>tail</i>"],"notes":["a port was taken away"],'
    '"started_at":"2026-03-01T08:30:00Z","finished_at":"2026-03-01T08:31:05.001200Z","steps":['
    '{"step":"build","started_at":"2026-03-01T08:30:00Z","finished_at":"2026-03-01T08:31:05.001200Z"},'
    '{"step":"launch","started_at":"2026-03-01T08:31:05.001200Z","finished_at":null}],'
    '"wiring":{"forms":[{"variable":"URL","scheme":"postgresql","why":"the file has it so","place":"compose.yaml:3"}],'
    '"values":[{"service":"app","variable":"URL","place":"compose.yaml:3","before":null,"after":"new"}]}}'
)
LINE_JSON = (
    '{"id":9,"step":"build","line":"one “1”","at":"2026-03-01T08:30:00Z"}',
    '{"id":10,"step":"launch","line":"\\u001b[1mtwo","at":"2026-03-01T08:31:05.001200Z"}',
)
ANSWERS = {
    "previews": f"[{PREVIEW_JSON}]",
    "previews?all=true": f"[{PREVIEW_JSON},{PREVIEW_JSON}]",
    "previews/4211-7": PREVIEW_JSON,
    "previews/4211-7/deployments": f"[{RUNNING_JSON},{FAILED_JSON}]",
    "previews/4211-7/logs": f'{{"deployment":6,"lines":[{",".join(LINE_JSON)}]}}',
    "previews/4211-7/database": (
        '{"bytes":1900,"limit_bytes":2000,"fill":"near","connections":18,"connection_limit":20,"ended":"too long",'
        '"ended_at":null,"measured_at":"2026-03-01T08:31:05.001200Z"}'
    ),
    "leaks": (
        '{"at":"2026-03-01T08:31:05.001200Z","by":"host, process 1","unknown":["route"],"leaks":[{"kind":"volume",'
        '"name":"v","preview":"4211-7","reason":"preview 4211-7 is removed","since":"2026-03-01T08:30:00Z"}]}'
    ),
}


class Known:
    """What the store says."""

    def __init__(self, app: Any, patch: pytest.MonkeyPatch) -> None:
        web = app.state.web
        self.deployments: list[Deployment] = [RUNNING, FAILED]
        self.use: DatabaseUse | None = USE
        self.leaks, self.round = [LEAK], Round(at=ENDED, by="host, process 1", unknown=("route",))
        for target, name, answer in (
            (web.queries, "live", lambda: [PREVIEW]),
            (web.queries, "all", lambda: [PREVIEW, PREVIEW]),
            (web.queries, "preview", lambda _: PREVIEW),
            (web.queries, "deployments", lambda _, limit=20: self.deployments[:limit]),
            (web.queries, "log", lambda _, after=0: [line for line in LINES if line.id > after]),
            (web.queries, "_has_ended", lambda _: True),
            (web.store.generations, "force", lambda _: 3),
            (web.store.generations, "reset", lambda _: 4),
            (web.store.usage, "of", lambda _: self.use),
            (web.store.leaks, "all", lambda: self.leaks),
            (web.store.leaks, "last_round", lambda: self.round),
            (web.queue, "wake", lambda *_: True),
        ):
            patch.setattr(target, name, _later(answer))


def _later(answer: Any) -> Any:
    async def answered(*values: Any, **named: Any) -> Any:
        return answer(*values, **named)

    return answered


@pytest.fixture
def app() -> Any:
    return create_app(SETTINGS)


@pytest.fixture
def known(app: Any, monkeypatch: pytest.MonkeyPatch) -> Known:
    return Known(app, monkeypatch)


@pytest.fixture
async def client(app: Any, known: Known) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://dashboard.test/api/v1/",
        headers={"Authorization": "Bearer admin-token"},
    ) as client:
        yield client


@pytest.mark.parametrize("path", ANSWERS)
async def test_what_is_asked_for(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.text == ANSWERS[path]


async def test_what_there_is_not(client: httpx.AsyncClient, known: Known) -> None:
    known.deployments, known.use, known.leaks = [], None, []
    assert (await client.get("previews/4211-7/deployments")).text == "[]"
    assert (await client.get("previews/4211-7/logs")).text == '{"deployment":null,"lines":[]}'
    assert (await client.get("previews/4211-7/database")).text == "null"
    assert (await client.get("leaks")).json()["leaks"] == []
    assert (await client.get("previews/4211-7/logs?follow=true")).text == "event: end\ndata: {}\n\n"


async def test_a_followed_log(client: httpx.AsyncClient) -> None:
    answer = await client.get("previews/4211-7/logs?follow=true")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.text == (
        f'event: deployment\ndata: {{"id": 6, "commit": "{"b" * 40}"}}\n\n'
        f"data: {LINE_JSON[0]}\nid: 9\n\n"
        f"data: {LINE_JSON[1]}\nid: 10\n\n"
        "event: end\ndata: {}\n\n"
    )


@pytest.mark.parametrize(("action", "generation"), [("redeploy", 3), ("reset-database", 4)])
async def test_what_is_done(client: httpx.AsyncClient, action: str, generation: int) -> None:
    answer = await client.post(f"previews/4211-7/{action}")
    assert (answer.status_code, answer.text) == (202, f'{{"id":"4211-7","generation":{generation}}}')


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/previews", PREVIEW_JSON),
        ("/previews/{id}", PREVIEW_JSON),
        ("/previews/{id}/deployments", FAILED_JSON),
        ("/previews/{id}/logs", ANSWERS["previews/4211-7/logs"]),
        ("/previews/{id}/database", ANSWERS["previews/4211-7/database"]),
        ("/leaks", ANSWERS["leaks"]),
    ],
)
def test_the_description_names_all_that_an_answer_holds(app: Any, path: str, names: str) -> None:
    described = app.openapi()
    answer = described["paths"][f"/api/v1{path}"]["get"]["responses"]["200"]["content"]["application/json"]
    [schema] = _objects(described, answer["schema"])
    assert list(schema["properties"]) == schema["required"] == list(json.loads(names))


def _objects(described: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects that a schema leads to at once: through a list, or beside null."""
    if "$ref" in schema:
        return [described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]]
    if schema.get("type") == "array":
        return _objects(described, schema["items"])
    return [found for each in schema.get("anyOf", ()) for found in _objects(described, each)]
