"""The web process besides webhooks: router, API, dashboard and streams, on a real Postgres that may go away."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from orchestrator.databases.connections import Budget
from orchestrator.databases.usage import Measured
from orchestrator.ports.ingress import (
    COMMIT_HEADER,
    PROBE_HEADER,
    ROUTE_HEADER,
    ROUTE_STATUS,
    UPSTREAM_HEADER,
    route_token,
)
from orchestrator.preview.errors import LaunchError
from orchestrator.preview.records import Leak, WiredValue, Wiring
from orchestrator.preview.state import PreviewId, State, Step
from orchestrator.runtime.settings import Settings, asyncpg_url
from orchestrator.store.claims import Claim
from orchestrator.store.connection import connect
from orchestrator.store.deliveries import Delivery, Hint
from orchestrator.store.store import Store
from orchestrator.store.tables import CHANNEL
from tests.support.servers import Servers, WebProcess, web_process
from tests.support.wait import eventually
from webhooks.app import create_app
from webhooks.throttle import OF_ONE_PEER, WINDOW_SECONDS

TOKEN = "admin-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
SHOP = PreviewId(4211, 7)
HOST = "pr-7-shop.preview.test"
SECRET_KEY = "a key that is still accepted"
HTML = {"Accept": "text/html"}
UNCONNECTED = Settings(
    database_url=SecretStr("postgresql://x@127.0.0.1:1/x"), redis_url=SecretStr("redis://127.0.0.1:1")
)


def settings(database_url: str, redis_url: str) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "ADMIN_TOKEN": TOKEN,
        "SECRET_KEY": f"newer,{SECRET_KEY}",
        "DOMAIN": "preview.test",
        "PUBLIC_URL": "http://dashboard.test",
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
    """The shared process, on empty tables, which its router has seen to be empty."""
    connection = await asyncpg.connect(module_database_url)
    await connection.execute("TRUNCATE deliveries, previews, deployments, transitions, subnets CASCADE")
    await connection.execute("SELECT pg_notify($1, 'all')", CHANNEL)
    await connection.close()

    async def forgotten() -> bool:
        async with httpx.AsyncClient(base_url=f"http://{shared.router}", trust_env=False) as caddy:
            return (await ask(caddy, HOST)).status_code == 404

    await eventually(forgotten, "the router forgets what the test before left")
    return shared


@pytest.fixture
async def store(module_database_url: str, web: WebProcess) -> AsyncIterator[Store]:
    engine = connect(asyncpg_url(SecretStr(module_database_url)))
    yield Store.of(engine)
    await engine.dispose()


@pytest.fixture
async def client(web: WebProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://{web.web}", trust_env=False, timeout=20) as opened:
        yield opened


@pytest.fixture
async def caddy(web: WebProcess) -> AsyncIterator[httpx.AsyncClient]:
    """Asks as Caddy does."""
    async with httpx.AsyncClient(base_url=f"http://{web.router}", trust_env=False, timeout=20) as opened:
        yield opened


async def ask(caddy: httpx.AsyncClient, host: str | bytes, **headers: str | bytes) -> httpx.Response:
    raw = [(name.encode(), _bytes(value)) for name, value in ({"Host": host} | headers).items()]
    return await caddy.get("/route", headers=raw)


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


async def open_preview(store: Store, title: str = "Add prices") -> Claim:
    hint = Hint(preview=SHOP, repository_name="acme/shop", title=title, author="mira", branch="prices", hosts=(HOST,))
    delivery = Delivery(id=title, event="pull_request", action="opened", outcome="accepted", reason="")
    await store.deliveries.record(delivery, hint)
    lease = await store.claims.acquire(SHOP)
    assert lease is not None
    return lease


async def serve(store: Store, lease: Claim, commit: str, upstream: str) -> None:
    for state in (State.QUEUED, State.BUILDING, State.PREPARING, State.STARTING):
        await lease.advance(state, "as told", commit=commit)
    await lease.serving.set_candidate(commit, upstream, "a-token")
    await lease.serving.promote(("container",), "it answers")


async def fail(store: Store, lease: Claim) -> int:
    deployment = await lease.deployments.start(1, "b" * 40)
    await lease.deployments.enter_step(deployment, Step.LAUNCH, State.BUILDING)
    await store.logs.append(deployment, Step.LAUNCH, ["<script>alert(1)</script>", "\x1b[31mred\x1b[0m"])
    await lease.deployments.close("failed", LaunchError("<b>it</b> exits", "start it", ("<i>tail</i>",)))
    await lease.advance(State.FAILED, "launch: <b>it</b> exits")
    return deployment


# The router


async def test_the_router_follows_a_preview_through_its_life(caddy: httpx.AsyncClient, store: Store) -> None:
    assert (await ask(caddy, HOST)).status_code == 404
    lease = await open_preview(store)
    building = await ask(caddy, HOST, Accept="text/html")
    assert building.status_code == 503
    assert "This preview is being built" in building.text
    assert building.headers["retry-after"] == "2"
    assert "noindex" in building.headers["x-robots-tag"]

    await serve(store, lease, "a" * 40, "10.0.0.2:8000")

    async def upstream() -> str:
        return str((await ask(caddy, HOST)).headers.get(UPSTREAM_HEADER, ""))

    assert await eventually(upstream, "the router knows it") == "10.0.0.2:8000"
    assert (await ask(caddy, HOST)).headers[COMMIT_HEADER] == "a" * 40

    await lease.serving.unroute()
    await lease.advance(State.REMOVING, "closed")
    await lease.advance(State.REMOVED, "closed")

    async def gone() -> bool:
        return (await ask(caddy, HOST)).status_code == 404

    await eventually(gone, "the router forgets it")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (HOST, 200),
        (HOST.upper(), 200),
        (HOST + ".", 200),
        (HOST + ":8080", 200),
        ("x." + HOST, 404),
        (HOST + "..", 404),
        (HOST + ":80:80", 404),
        (HOST + ":x", 404),
        ("preview.test", 404),
        (".preview.test", 404),
        ("../" + HOST, 404),
        ("pr-7-shöp.preview.test".encode(), 404),
        ("pr-7-shop.preview.test\u3002".encode(), 404),
        ("xn--pr-7-shp-57a.preview.test", 404),
        ("pr-7-shop.preview.tes", 404),
        ("%27", 404),
    ],
    ids=repr,
)
async def test_only_the_exact_host_leads_to_a_preview(
    shared_caddy: httpx.AsyncClient, host: str | bytes, status: int
) -> None:
    assert (await ask(shared_caddy, host)).status_code == status


@pytest.fixture
async def shared_caddy(caddy: httpx.AsyncClient, store: Store) -> httpx.AsyncClient:
    await serve(store, await open_preview(store), "a" * 40, "10.0.0.2:8000")

    async def known() -> bool:
        return (await ask(caddy, HOST)).status_code == 200

    await eventually(known, "the router knows it")
    return caddy


async def test_the_probe_reaches_the_candidate_and_nobody_else_does(caddy: httpx.AsyncClient, store: Store) -> None:
    lease = await open_preview(store)
    await serve(store, lease, "a" * 40, "10.0.0.2:8000")
    await lease.serving.set_candidate("b" * 40, "10.0.0.3:8000", "secret-token")
    probed = await ask(caddy, HOST, **{PROBE_HEADER: "secret-token"})
    assert (probed.headers[UPSTREAM_HEADER], probed.headers[COMMIT_HEADER]) == ("10.0.0.3:8000", "b" * 40)
    for wrong in ("secret-toke", "", "a-token", b"s\xe9cret"):
        answer = await ask(caddy, HOST, **{PROBE_HEADER: wrong})
        assert answer.headers[UPSTREAM_HEADER] == "10.0.0.2:8000"


async def test_only_we_are_told_where_the_router_would_lead(caddy: httpx.AsyncClient, store: Store) -> None:
    async def told(host: str, token: str) -> httpx.Response:
        return await ask(caddy, host, **{ROUTE_HEADER: token})

    assert (await told(HOST, route_token(SECRET_KEY, HOST))).headers[UPSTREAM_HEADER] == ""
    await serve(store, await open_preview(store), "a" * 40, "10.0.0.2:8000")

    async def said() -> bool:
        answer = await told(HOST, route_token(SECRET_KEY, HOST))
        assert answer.status_code == ROUTE_STATUS
        return answer.headers[UPSTREAM_HEADER] == "10.0.0.2:8000"

    await eventually(said, "the router knows it")
    for wrong in (route_token("another", HOST), route_token(SECRET_KEY, "x" + HOST), ""):
        assert (await told(HOST, wrong)).status_code == 200, "it is led on, as any other request"


async def test_the_router_hears_again_after_its_connection_was_cut(
    caddy: httpx.AsyncClient, store: Store, postgres_url: str, web: WebProcess
) -> None:
    lease = await open_preview(store)
    await serve(store, lease, "a" * 40, "10.0.0.2:8000")
    administrator = await asyncpg.connect(postgres_url)
    await administrator.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' OR query LIKE 'SELECT 1%'"
    )
    await administrator.close()
    await lease.serving.set_candidate("b" * 40, "10.0.0.3:8000", "t")
    await lease.serving.promote(("container",), "it answers")

    async def moved() -> bool:
        return bool((await ask(caddy, HOST)).headers.get(UPSTREAM_HEADER) == "10.0.0.3:8000")

    await eventually(moved, "the router looks at everything again")
    assert "not listening to Postgres" in web.log()


async def test_pages_escape_what_they_show(caddy: httpx.AsyncClient, store: Store) -> None:
    await fail(store, await open_preview(store))

    async def failed() -> str:
        page = await ask(caddy, HOST, Accept="text/html")
        return page.text if "could not be started" in page.text else ""

    page = await eventually(failed, "the router knows that it failed")
    assert "&lt;b&gt;it&lt;/b&gt; exits" in page
    assert "<b>" not in page
    plain = await ask(caddy, HOST, Accept="application/json")
    assert plain.headers["content-type"].startswith("text/plain")


# Who may come in


def every_route(app: FastAPI) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for path, operations in app.openapi()["paths"].items():
        found += [(method.upper(), path) for method in operations]
    hidden = [
        ("GET", "/"), ("GET", "/events"), ("GET", "/previews/{id}"), ("GET", "/previews/{id}/events"),
        ("POST", "/previews/{id}/redeploy"), ("POST", "/logout"), ("POST", "/webhooks/github"), ("POST", "/login"),
        ("POST", "/previews/{id}/reset-database"), ("GET", "/api/docs"), ("GET", "/api/openapi.json"),
        ("GET", "/leaks"),
    ]  # fmt: skip
    return found + hidden


async def test_nobody_gets_in_without_a_token(client: httpx.AsyncClient, store: Store) -> None:
    await open_preview(store)
    app = create_app(UNCONNECTED)
    routes = every_route(app)
    assert ("POST", "/api/v1/previews/{id}/redeploy") in routes
    for method, path in routes:
        for headers in ({}, HTML, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
            answer = await client.request(
                method, path.replace("{id}", str(SHOP)), headers=headers | {"Origin": "http://dashboard.test"}
            )
            assert answer.status_code == 401, (method, path, headers)
            assert "acme/shop" not in answer.text


async def test_the_table_of_routes_is_whole() -> None:
    """A route that is added has to be looked at here, and be closed or on the list of open ones."""
    app = create_app(UNCONNECTED)
    known = {path for _, path in every_route(app)}
    known |= {"/healthz", "/readyz", "/metrics", "/static"}
    assert set(paths(app.routes)) - known == set()


def paths(routes: Any) -> list[str]:
    found: list[str] = []
    for route in routes:
        inner = getattr(route, "original_router", None)
        found += paths(inner.routes) if inner is not None else [route.path]
    return found


async def test_the_api_describes_itself_to_those_who_may_use_it(client: httpx.AsyncClient) -> None:
    assert "/api/v1/previews" in (await client.get("/api/openapi.json", headers=BEARER)).json()["paths"]
    await sign_in(client)
    assert "/api/v1/previews" in (await client.get("/api/docs", headers=HTML)).text
    assert (await client.get("/api/openapi.json")).status_code == 200


async def test_metrics_are_for_what_watches_the_machine_and_for_the_token(client: httpx.AsyncClient) -> None:
    assert (await client.get("/metrics")).status_code == 200
    for header in ("X-Real-IP", "X-Forwarded-For", "Forwarded"):  # the proxy always sends the first
        assert (await client.get("/metrics", headers={header: "127.0.0.1"})).status_code == 401
        assert (await client.get("/metrics", headers={header: "127.0.0.1", **BEARER})).status_code == 200


@pytest.mark.parametrize("peer", ["10.213.4.5", "::ffff:10.213.4.5", "8.8.8.8"])
async def test_no_preview_and_no_stranger_reads_metrics(peer: str) -> None:
    transport = httpx.ASGITransport(create_app(UNCONNECTED), client=(peer, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://dashboard.test") as asking:
        assert (await asking.get("/metrics")).status_code == 401


async def test_a_token_is_not_guessed_at_leisure(client: httpx.AsyncClient) -> None:
    """Neither in the form nor at the API; a right one is refused like a wrong one, and others are not held up."""
    origin, peer, other = (
        {"Origin": "http://dashboard.test"},
        {"X-Real-IP": "203.0.113.9"},
        {"X-Real-IP": "203.0.113.8"},
    )
    for _ in range(OF_ONE_PEER):
        assert (await client.post("/login", data={"token": "wrong"}, headers=origin | peer)).status_code == 401
        assert (
            await client.get("/api/v1/previews", headers={"Authorization": "Bearer wrong"} | peer)
        ).status_code == 401
    for answer in (await sign_in(client, **peer), await client.get("/api/v1/previews", headers=BEARER | peer)):
        assert answer.status_code == 429
        assert 0 < int(answer.headers["retry-after"]) <= WINDOW_SECONDS
    assert (await sign_in(client, **other)).status_code == 303
    assert (await client.get("/api/v1/previews", headers=BEARER | other)).status_code == 200


async def test_without_a_configured_token_everything_stays_closed(database_url: str, redis_url: str) -> None:
    async with (
        web_process(settings(database_url, redis_url) | {"ADMIN_TOKEN": ""}) as web,
        httpx.AsyncClient(base_url=f"http://{web.web}", trust_env=False) as client,
    ):
        answer = await client.get("/api/v1/previews", headers={"Authorization": "Bearer"})
        assert answer.status_code == 401
        assert "PREVIEWD_ADMIN_TOKEN" in answer.json()["error"]
        signed_in = await client.post("/login", data={"token": ""}, headers={"Origin": f"http://{web.web}"})
        assert signed_in.status_code == 401


# The API


async def test_the_api_tells_and_redeploys(client: httpx.AsyncClient, store: Store) -> None:
    deployment = await fail(store, await open_preview(store))
    [preview] = (await client.get("/api/v1/previews", headers=BEARER)).json()
    assert (preview["id"], preview["state"], preview["host"]) == (str(SHOP), "failed", HOST)
    assert (await client.get(f"/api/v1/previews/{SHOP}", headers=BEARER)).json() == preview
    [found] = (await client.get(f"/api/v1/previews/{SHOP}/deployments", headers=BEARER)).json()
    assert (found["failed_step"], found["log_tail"]) == ("launch", ["<i>tail</i>"])
    logs = (await client.get(f"/api/v1/previews/{SHOP}/logs", headers=BEARER)).json()
    assert (logs["deployment"], len(logs["lines"])) == (deployment, 2)
    rest = await client.get(f"/api/v1/previews/{SHOP}/logs", params={"after": logs["lines"][0]["id"]}, headers=BEARER)
    assert rest.json()["lines"] == logs["lines"][1:]
    again = await client.post(f"/api/v1/previews/{SHOP}/redeploy", headers=BEARER)
    assert (again.status_code, again.json()) == (202, {"id": str(SHOP), "generation": 2})


async def test_the_database_is_shown_and_reset(client: httpx.AsyncClient, store: Store) -> None:
    lease = await open_preview(store)
    deployment = await fail(store, lease)
    value = WiredValue(service="app", variable="URL", place="compose.yaml:1", before="<b>old</b>", after="new")
    lease = await store.claims.borrow(SHOP) or lease
    await lease.deployments.keep_wiring(deployment, Wiring(values=(value,)))
    assert (await client.get(f"/api/v1/previews/{SHOP}/database", headers=BEARER)).json() is None
    measured = Measured(bytes=1900, limit_bytes=2000, connections=18, connection_limit=20, ended="too long")
    budget = Budget(max_connections=100, reserved=13, granted={"a": 20}, in_use={"a": 18})
    await store.usage.record({SHOP: measured}, budget)
    found = (await client.get(f"/api/v1/previews/{SHOP}/database", headers=BEARER)).json()
    assert (found["bytes"], found["fill"], found["ended"]) == (1900, "near", "too long")
    [shown] = (await client.get(f"/api/v1/previews/{SHOP}/deployments", headers=BEARER)).json()
    assert shown["wiring"]["values"][0]["before"] == "<b>old</b>"
    await sign_in(client)
    page = (await client.get(f"/previews/{SHOP}", headers=HTML)).text
    for words in ("18 of 20", "nearly full", "(pool_size + max_overflow) × workers", "too long", "&lt;b&gt;old"):
        assert words in page
    assert "20 of 87 database connections promised" in (await client.get("/", headers=HTML)).text
    again = await client.post(f"/api/v1/previews/{SHOP}/reset-database", headers=BEARER)
    assert (again.status_code, again.json()) == (202, {"id": str(SHOP), "generation": 2})
    assert (await lease.row()).reset_requested == 2
    origin = {"Origin": "http://dashboard.test"}
    assert (await client.post(f"/previews/{SHOP}/reset-database", headers=origin)).status_code == 303


@pytest.mark.parametrize("wrong", ["1-1", "x", "99999999999999999999999-1", "1-99999999999", "４-２"])
async def test_an_unknown_preview_is_404(client: httpx.AsyncClient, wrong: str) -> None:
    answer = await client.get(f"/api/v1/previews/{wrong}", headers=BEARER)
    assert (answer.status_code, "error" in answer.json()) == (404, True)


async def test_a_followed_log_ends_with_its_deployment(client: httpx.AsyncClient, store: Store) -> None:
    lease = await open_preview(store)
    deployment = await lease.deployments.start(1, "a" * 40)
    await store.logs.append(deployment, Step.BUILD, ["one"])
    events: list[str] = []
    url, query = f"/api/v1/previews/{SHOP}/logs", {"follow": "true"}
    async with client.stream("GET", url, params=query, headers=BEARER) as stream:
        async for line in stream.aiter_lines():
            events.append(line)
            if '"line":"one"' in line:
                await store.logs.append(deployment, Step.BUILD, ["two"])
                await lease.deployments.close("ready")
    assert '"line":"two"' in "\n".join(events)
    assert events[:2] == ["event: deployment", f'data: {{"id": {deployment}, "commit": "{"a" * 40}"}}']
    assert "event: end" in events
    ids = [line.removeprefix("id: ") for line in events if line.startswith("id: ")]
    again = await client.get(url, params=query, headers={**BEARER, "Last-Event-ID": ids[0]})
    assert ('"line":"one"' in again.text, '"line":"two"' in again.text) == (False, True)


# The dashboard


async def sign_in(client: httpx.AsyncClient, **headers: str) -> httpx.Response:
    origin = {"Origin": "http://dashboard.test"} | headers
    return await client.post("/login", data={"token": TOKEN, "target": f"/previews/{SHOP}"}, headers=origin)


async def test_a_person_signs_in_looks_redeploys_and_signs_out(client: httpx.AsyncClient, store: Store) -> None:
    await fail(store, await open_preview(store, title="<script>alert(2)</script>"))
    answer = await sign_in(client)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/previews/{SHOP}")
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "samesite=lax" in answer.headers["set-cookie"].lower()
    for path in ("/", f"/previews/{SHOP}"):
        page = await client.get(path, headers=HTML)
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "&lt;script&gt;alert(2)" in page.text
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert "\x1b" not in page.text
    origin = {"Origin": "http://dashboard.test"}
    assert (await client.post(f"/previews/{SHOP}/redeploy", headers=origin)).status_code == 303
    assert (await client.get("/previews/1-1", headers=HTML)).status_code == 404
    await client.post("/logout", headers=origin)
    assert (await client.get("/", headers=HTML)).status_code == 401


async def test_leaks_are_shown_and_counted(client: httpx.AsyncClient, store: Store) -> None:
    await sign_in(client)
    assert "No worker has looked yet" in (await client.get("/leaks")).text
    leak = Leak(kind="volume", name="<b>", preview="4211-7", reason="preview 4211-7 is removed", since=None)
    await store.leaks.record([leak], ["route"], "host, process 1")
    try:
        page = (await client.get("/leaks")).text
        for words in ("&lt;b&gt;", "preview 4211-7 is removed", "by the worker on host, process 1", "of: route."):
            assert words in page
        assert '<span class="badge small bad">1</span>' in (await client.get("/")).text
        said = (await client.get("/api/v1/leaks", headers=BEARER)).json()
        assert (said["unknown"], said["by"]) == (["route"], "host, process 1")
        assert [(leak["kind"], leak["name"], leak["preview"]) for leak in said["leaks"]] == [
            ("volume", "<b>", "4211-7")
        ]
    finally:
        await store.leaks.record([], [], "host, process 1")
    assert "Nothing is left over" in (await client.get("/leaks")).text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://pr-7-shop.preview.test"},
        {"Origin": "null"},
        {"Origin": "http://dashboard.test", "Sec-Fetch-Site": "same-site"},
        {"Origin": "http://dashboard.test", "Sec-Fetch-Site": "cross-site"},
    ],
    ids=repr,
)
async def test_another_site_cannot_act_for_a_person(
    client: httpx.AsyncClient, store: Store, headers: dict[str, str]
) -> None:
    await open_preview(store)
    await sign_in(client)
    for path in (f"/previews/{SHOP}/redeploy", f"/previews/{SHOP}/reset-database", "/logout", "/login"):
        assert (await client.post(path, headers=headers)).status_code == 403


async def test_an_open_list_learns_of_a_new_preview(client: httpx.AsyncClient, store: Store) -> None:
    await sign_in(client)
    async with client.stream("GET", "/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.aiter_lines()
        await seen(lines, '"id": "list"')
        await open_preview(store)
        await seen(lines, f'"id": "preview-{SHOP}"')


async def test_an_open_page_gets_new_log_lines(client: httpx.AsyncClient, store: Store) -> None:
    lease = await open_preview(store)
    deployment = await lease.deployments.start(1, "a" * 40)
    await sign_in(client)
    async with client.stream("GET", f"/previews/{SHOP}/events?after={deployment}:0") as stream:
        lines = stream.aiter_lines()
        await seen(lines, '"id": "detail"')
        await store.logs.append(deployment, Step.BUILD, ["<b>late</b>"])
        await seen(lines, "&lt;b&gt;late")


async def seen(lines: AsyncIterator[str], text: str) -> None:
    async with asyncio.timeout(20):
        async for line in lines:
            if text in line:
                return
    raise AssertionError(f"the stream ended before {text}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_it_ends_soon_though_streams_are_open(
    store: Store, module_database_url: str, redis_url: str, number: signal.Signals
) -> None:
    async with (
        web_process(settings(module_database_url, redis_url)) as web,
        httpx.AsyncClient(base_url=f"http://{web.web}", trust_env=False, timeout=20) as client,
    ):
        await _end_with_open_streams(web, client, store, number)


async def _end_with_open_streams(
    web: WebProcess, client: httpx.AsyncClient, store: Store, number: signal.Signals
) -> None:
    lease = await open_preview(store)
    await lease.deployments.start(1, "a" * 40)
    await sign_in(client)
    follow = f"/api/v1/previews/{SHOP}/logs?follow=true"
    async with (
        client.stream("GET", "/events") as first,
        client.stream("GET", f"/previews/{SHOP}/events") as second,
        client.stream("GET", follow, headers=BEARER) as third,
    ):
        assert {first.status_code, second.status_code, third.status_code} == {200}
        began = time.monotonic()
        assert await web.end(number) == 0
        assert time.monotonic() - began < 5


async def test_a_taken_port_is_one_line_and_a_remedy(web: WebProcess, module_database_url: str, redis_url: str) -> None:
    second = WebProcess(settings(module_database_url, redis_url))
    second._environment["PREVIEWD_WEB_LISTEN"] = web.web
    with pytest.raises(AssertionError, match=r"error: cannot listen on .*\n→ end what uses it"):
        await second.start()
    second.close()
