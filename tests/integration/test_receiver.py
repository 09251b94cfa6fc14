"""The receiver, on real Postgres and Redis, as a real process: every answer that it gives, and what it leaves."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx
import pytest
from redis.asyncio import Redis

from orchestrator.runtime.queue import QUEUE
from tests.support.servers import Servers, WebProcess, web_process
from tests.support.wait import eventually
from webhooks.receiver.signature import sign

SECRET, OLD_SECRET, TOKEN = "new-secret", "old-secret", "admin-token"
MIB = 1024 * 1024


def settings(database_url: str, redis_url: str) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "GITHUB_WEBHOOK_SECRET": f"{SECRET},{OLD_SECRET}",
        "ADMIN_TOKEN": TOKEN,
        "DOMAIN": "preview.test",
    }


@pytest.fixture(scope="module")
def shared(real_servers: Servers, module_database_url: str) -> Iterator[WebProcess]:
    """One process for all tests that do nothing to it: starting one takes longer than most of them."""
    running = WebProcess(settings(module_database_url, real_servers.redis_url))
    try:
        asyncio.run(running.start())
        yield running
    finally:
        running.close()


@pytest.fixture
async def web(shared: WebProcess, module_database_url: str, redis_url: str) -> WebProcess:
    """The shared process, on empty tables and an empty Redis."""
    connection = await asyncpg.connect(module_database_url)
    await connection.execute("TRUNCATE deliveries, previews, deployments, transitions, subnets CASCADE")
    await connection.close()
    return shared


@pytest.fixture
async def client(web: WebProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://{web.web}", trust_env=False, timeout=30) as opened:
        yield opened


@pytest.fixture
async def rows(module_database_url: str, web: WebProcess) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(module_database_url)
    yield connection
    await connection.close()


def payload(action: str = "opened", number: int = 7, repository: int = 4211, **more: Any) -> dict[str, Any]:
    return {
        "action": action,
        "number": number,
        "repository": {"id": repository, "full_name": "acme/shop"},
        "pull_request": {
            "number": number,
            "title": "Add prices",
            "body": None,
            "user": {"login": "mira"},
            "head": {"ref": "prices", "sha": "a" * 40, "repo": None},
        },
    } | more


def signed(body: bytes, guid: str = "guid-1", event: str = "pull_request", secret: str = SECRET) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": guid,
        "X-Hub-Signature-256": sign(secret, body),
    }


async def deliver(
    client: httpx.AsyncClient, content: Any, guid: str = "guid-1", event: str = "pull_request", secret: str = SECRET
) -> httpx.Response:
    body = json.dumps(content).encode()
    return await client.post("/webhooks/github", content=body, headers=signed(body, guid, event, secret))


async def a_worker_was_seen(database_url: str) -> None:
    """Without one the installation is down: nobody would act on what it records."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("INSERT INTO dependencies (name) VALUES ('worker')")
    await connection.close()


async def test_a_pull_request_is_recorded_and_a_worker_woken(
    client: httpx.AsyncClient, rows: Any, redis_url: str
) -> None:
    answer = await deliver(client, payload())
    assert (answer.status_code, answer.json()) == (
        202,
        {"delivery": "guid-1", "outcome": "accepted", "reason": "preview 4211-7 will be looked at"},
    )
    preview = await rows.fetchrow("SELECT * FROM previews")
    assert (preview["repository"], preview["number"], preview["generation"]) == (4211, 7, 1)
    assert (preview["host"], preview["title"], preview["author"]) == ("pr-7-shop.preview.test", "Add prices", "mira")
    redis: Redis = Redis.from_url(redis_url)

    async def jobs() -> list[bytes]:
        return list(await redis.zrange(QUEUE, 0, -1))

    assert await eventually(jobs, "a job is queued") == [b"converge:4211-7:1"]
    await redis.aclose()


async def test_both_secrets_and_both_content_types_are_taken(client: httpx.AsyncClient) -> None:
    assert (await deliver(client, payload(), "json", secret=OLD_SECRET)).status_code == 202
    body = b"payload=" + quote(json.dumps(payload("synchronize"))).encode()
    headers = signed(body, "form") | {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await client.post("/webhooks/github", content=body, headers=headers)
    assert (answer.status_code, answer.json()["outcome"]) == (202, "accepted")


async def test_ping(client: httpx.AsyncClient) -> None:
    answer = await deliver(client, {"zen": "Keep it simple.", "hook_id": 1}, event="ping")
    assert answer.status_code == 202
    assert answer.json() == {"delivery": "guid-1", "outcome": "accepted", "reason": "pong: Keep it simple."}


@pytest.mark.parametrize(
    ("event", "content", "reason"),
    [
        ("pull_request", payload("assigned"), "pull_request.assigned"),
        ("pull_request", payload("invented_tomorrow"), "pull_request.invented_tomorrow"),
        ("pull_request", payload("edited", changes={"title": {"from": "x"}}), "base"),
        ("invented_tomorrow", {"action": "x"}, "invented_tomorrow"),
    ],
)
async def test_what_does_not_matter_is_ignored_with_the_reason(
    client: httpx.AsyncClient, rows: Any, event: str, content: Any, reason: str
) -> None:
    answer = await deliver(client, content, event=event)
    assert (answer.status_code, answer.json()["outcome"]) == (202, "ignored")
    assert reason in answer.json()["reason"]
    assert await rows.fetchval("SELECT count(*) FROM previews") == 0
    assert await rows.fetchval("SELECT outcome FROM deliveries") == "ignored"


@pytest.mark.parametrize(
    "signature",
    [
        None,
        b"",
        b"sha256=",
        b"sha256=00",
        b"sha1=" + b"0" * 40,
        b"sha256=" + b"0" * 64,
        b"\xff\xfe\xe9",
        b"sha256=\xc3\xa9",
    ],
    ids=repr,
)
async def test_a_wrong_signature_is_401_whatever_it_is(
    client: httpx.AsyncClient, rows: Any, signature: bytes | None
) -> None:
    headers: list[tuple[bytes, bytes]] = [(b"X-GitHub-Event", b"pull_request"), (b"X-GitHub-Delivery", b"guid-1")]
    if signature is not None:
        headers.append((b"X-Hub-Signature-256", signature))
    answer = await client.post("/webhooks/github", content=json.dumps(payload()).encode(), headers=headers)
    assert answer.status_code == 401
    assert answer.json()["remedy"]
    assert await rows.fetchval("SELECT count(*) FROM deliveries") == 0


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"{", "JSON"),
        (b"", "JSON"),
        (b"[]", "object"),
        (b"[" * 100_000, "JSON"),
        (b"\xff\xfe", "JSON"),
        (b'{"action": 1}', "action"),
        (b'{"action": "opened"}', "repository"),
        (json.dumps(payload(repository=-1)).encode(), "repository.id"),
        (json.dumps(payload(repository=2**63)).encode(), "repository.id"),
        (json.dumps(payload(number=2**31)).encode(), "pull_request.number"),
    ],
    ids=["cut", "empty", "list", "deep", "not-utf8", "action", "no-repository", "negative", "too-large", "number"],
)
async def test_a_malformed_body_is_400_and_says_what_is_wrong(
    client: httpx.AsyncClient, body: bytes, what: str
) -> None:
    answer = await client.post("/webhooks/github", content=body, headers=signed(body))
    assert answer.status_code == 400
    assert what in answer.json()["error"]


@pytest.mark.parametrize("header", ["X-GitHub-Delivery", "X-GitHub-Event"])
@pytest.mark.parametrize("value", [None, "", "a b", "x" * 200, "é".encode("latin-1")], ids=repr)
async def test_missing_and_strange_headers_are_400(
    client: httpx.AsyncClient, header: str, value: str | bytes | None
) -> None:
    body = json.dumps(payload()).encode()
    headers: dict[str, Any] = {name: text for name, text in signed(body).items() if name != header}
    if value is not None:
        headers[header] = value
    assert (await client.post("/webhooks/github", content=body, headers=headers)).status_code == 400


async def test_text_that_postgres_cannot_keep_is_repaired(client: httpx.AsyncClient, rows: Any) -> None:
    body = json.dumps(payload()).replace("Add prices", "nul \\u0000 half \\ud83d").encode()
    answer = await client.post("/webhooks/github", content=body, headers=signed(body))
    assert answer.status_code == 202
    assert await rows.fetchval("SELECT title FROM previews") == "nul  half ?"


async def test_a_repeated_delivery_changes_nothing(client: httpx.AsyncClient, rows: Any) -> None:
    await deliver(client, payload())
    again = await deliver(client, payload())
    assert (again.status_code, again.json()["outcome"]) == (202, "ignored")
    assert "before" in again.json()["reason"]
    assert await rows.fetchval("SELECT generation FROM previews") == 1
    assert await rows.fetchval("SELECT times FROM deliveries") == 2


async def test_many_deliveries_at_once_about_one_new_pull_request(client: httpx.AsyncClient, rows: Any) -> None:
    answers = await asyncio.gather(*(deliver(client, payload(), f"guid-{number}") for number in range(20)))
    assert {answer.status_code for answer in answers} == {202}
    assert await rows.fetchval("SELECT generation FROM previews") == 20


async def test_namesakes_of_two_organisations_get_hosts_of_their_own(client: httpx.AsyncClient, rows: Any) -> None:
    await deliver(client, payload(repository=1), "one")
    assert (await deliver(client, payload(repository=2), "two")).status_code == 202
    hosts = {row["host"] for row in await rows.fetch("SELECT host FROM previews")}
    assert hosts == {"pr-7-shop.preview.test", "pr-7-shop-2.preview.test"}


async def test_a_declared_body_that_is_too_large_is_refused_before_it_is_sent(web: WebProcess) -> None:
    answer = await asyncio.to_thread(
        raw_request, web, b"POST /webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: 27262976\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 413")


async def test_a_chunked_body_that_is_too_large_is_refused_in_little_memory(
    web: WebProcess, client: httpx.AsyncClient
) -> None:
    await deliver(client, payload())
    before = web.resident_bytes()
    peak = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal peak
        for _ in range(26 * 16):
            yield b" " * (MIB // 16)
            peak = max(peak, web.resident_bytes())

    answers = await asyncio.gather(*(client.post("/webhooks/github", content=body()) for _ in range(4)))
    assert [answer.status_code for answer in answers] == [413] * 4
    assert answers[0].json()["remedy"]
    assert peak - before < 8 * MIB


async def test_a_large_body_that_is_allowed_is_taken(client: httpx.AsyncClient) -> None:
    content = payload(padding="x" * (24 * MIB))
    assert (await deliver(client, content)).status_code == 202


def raw_request(web: WebProcess, request: bytes, drip: Iterator[bytes] | None = None, pause: float = 0) -> bytes:
    """Send a request byte by byte as told, and read until the other side closes."""
    host, port = web.web.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(request)
        received = b""
        connection.settimeout(pause or 20)
        while True:
            try:
                chunk = connection.recv(65536)
                received += chunk
                if not chunk:
                    return received
            except TimeoutError:
                connection.sendall(next(drip or iter(())))


async def test_a_body_that_trickles_is_cut_off(web: WebProcess) -> None:
    began = time.monotonic()
    request = b"POST /webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    answer = await asyncio.to_thread(raw_request, web, request, iter([b"x"] * 30), 1.0)
    assert answer.startswith(b"HTTP/1.1 408")
    assert time.monotonic() - began < 15


async def test_without_redis_deliveries_are_taken_at_once(database_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and never says a word
        port = silent.getsockname()[1]
        async with (
            web_process(settings(database_url, f"redis://127.0.0.1:{port}/0")) as web,
            httpx.AsyncClient(base_url=f"http://{web.web}", trust_env=False, timeout=1.5) as client,
        ):
            for number in range(3):
                assert (await deliver(client, payload(), f"guid-{number}")).status_code == 202
            await a_worker_was_seen(database_url)
            ready = await client.get("/readyz", timeout=10)
            assert (ready.status_code, ready.json()["status"], ready.json()["postgres"]) == (200, "degraded", "ok")
            assert "PREVIEWD_REDIS_URL" in ready.json()["redis"]


async def test_without_postgres_a_delivery_is_503_and_says_what_to_do(redis_url: str) -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    async with (
        web_process(settings(nowhere, redis_url)) as web,
        httpx.AsyncClient(base_url=f"http://{web.web}", trust_env=False, timeout=20) as client,
    ):
        answer = await deliver(client, payload())
        assert answer.status_code == 503
        assert "PREVIEWD_DATABASE_URL" in answer.json()["remedy"]
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["redis"]) == (503, "ok")
        assert (await client.get("/healthz")).status_code == 200
        assert "previewd_postgres_up 0" in (await client.get("/metrics")).text


async def test_without_a_secret_nothing_is_trusted(database_url: str, redis_url: str) -> None:
    given = settings(database_url, redis_url) | {"GITHUB_WEBHOOK_SECRET": ""}
    async with (
        web_process(given) as web,
        httpx.AsyncClient(base_url=f"http://{web.web}", trust_env=False) as client,
    ):
        answer = await deliver(client, payload(), secret="")
        assert answer.status_code == 401
        assert "PREVIEWD_GITHUB_WEBHOOK_SECRET" in answer.json()["error"]
        await a_worker_was_seen(database_url)
        ready = await client.get("/readyz")
        assert ready.status_code == 200
        assert "PREVIEWD_GITHUB_WEBHOOK_SECRET" in ready.json()["hints"][0]


async def test_metrics_count_deliveries_and_previews(database_url: str, redis_url: str) -> None:
    async with (
        web_process(settings(database_url, redis_url)) as web,
        httpx.AsyncClient(base_url=f"http://{web.web}", trust_env=False) as client,
    ):
        await deliver(client, payload())
        await deliver(client, payload("assigned"), "guid-2")
        await client.post("/webhooks/github", content=b"{}")
        text = (await client.get("/metrics")).text
    for line in (
        'previewd_deliveries_total{outcome="accepted"} 1.0',
        'previewd_deliveries_total{outcome="ignored"} 1.0',
        'previewd_deliveries_total{outcome="401"} 1.0',
        'previewd_previews{state="queued"} 1.0',
        "previewd_postgres_up 1.0",
        "previewd_redis_up 1.0",
    ):
        assert line in text.splitlines()


async def test_repositories_that_are_taken_from_us_are_looked_at(client: httpx.AsyncClient, rows: Any) -> None:
    """The worker then finds that our access is gone. A suspended installation does not say of which repositories."""
    for number, repository in ((1, 10), (2, 10), (1, 11)):
        await deliver(client, payload(number=number, repository=repository), f"opened-{repository}-{number}")
    await rows.execute("UPDATE previews SET state = 'removed' WHERE (repository, number) = (10, 2)")
    removed = {"action": "removed", "repositories_removed": [{"id": 10}]}
    answer = await deliver(client, removed, "removed", "installation_repositories")
    assert (answer.status_code, answer.json()["reason"]) == (
        202,
        "the previews of these repositories will be looked at: 10",
    )
    assert await generations(rows) == {(10, 1): 2, (10, 2): 1, (11, 1): 1}
    answer = await deliver(client, {"action": "suspend"}, "suspended", "installation")
    assert (answer.status_code, answer.json()["reason"]) == (202, "every preview will be looked at")
    assert await generations(rows) == {(10, 1): 3, (10, 2): 1, (11, 1): 2}


async def test_a_deleted_comment_of_ours_is_to_be_written_anew(client: httpx.AsyncClient, rows: Any) -> None:
    await deliver(client, payload())
    await rows.execute("UPDATE previews SET comment_id = 99, reported = 'digest', reported_at = now()")
    deleted = {"action": "deleted", "comment": {"id": 99}, "repository": {"id": 4211}}
    for guid in ("deleted", "deleted-again"):
        assert (await deliver(client, deleted, guid, "issue_comment")).status_code == 202
    row = await rows.fetchrow("SELECT comment_id, reported, reported_at FROM previews")
    assert tuple(row) == (None, None, None)


async def generations(rows: Any) -> dict[tuple[int, int], int]:
    found = await rows.fetch("SELECT repository, number, generation FROM previews")
    return {(row["repository"], row["number"]): row["generation"] for row in found}
