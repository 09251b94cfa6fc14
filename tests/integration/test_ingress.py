"""Caddy with the real configuration, between a client, a toy router and a toy application."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
import websockets
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import PlainTextResponse, Response, StreamingResponse

from orchestrator.adapters import caddy
from orchestrator.adapters.embedded import programs
from orchestrator.adapters.embedded.addresses import free_port, listens
from orchestrator.adapters.embedded.supervisor import supervise
from tests.support.wait import eventually

DOMAIN = "previews.test"
DASHBOARD = "previewd.test"
LIVE = f"pr-1-app.{DOMAIN}"
COMMIT = "c" * 40


@dataclass
class World:
    """What runs, and what the router was asked."""

    port: int
    client: httpx.AsyncClient
    asked: list[dict[str, str]] = field(default_factory=list)
    upstream: str = ""
    apps: dict[str, uvicorn.Server] = field(default_factory=dict)

    async def get(self, host: str, path: str = "/", **options: Any) -> httpx.Response:
        headers = {"Host": host} | options.pop("headers", {})
        return await self.client.request(options.pop("method", "GET"), path, headers=headers, **options)


def router(world: World) -> FastAPI:
    app = FastAPI()

    @app.api_route("/route", methods=["GET", "POST", "PUT"])
    async def route(request: Request) -> Response:
        body = await request.body()
        world.asked.append(
            dict(request.headers) | {"method": request.method, "body": body.decode(), "path": request.url.path}
        )
        host = request.headers["host"].partition(":")[0].lower()
        if host == LIVE:
            return Response(
                status_code=204, headers={"X-Preview-Upstream": world.upstream, "X-Previewd-Commit": COMMIT}
            )
        if host.startswith("starting."):
            return PlainTextResponse("starting", 503, headers={"Retry-After": "1"})
        return PlainTextResponse("no such preview", 404)

    return app


def application() -> FastAPI:
    app = FastAPI()

    @app.api_route("/echo", methods=["GET", "POST"])
    async def echo(request: Request) -> Response:
        size, query = len(await request.body()), request.url.query
        answer = {"headers": request.headers.items(), "size": size, "query": query, "method": request.method}
        return Response(json.dumps(answer), headers={"X-Previewd-Commit": "the application's own word"})

    @app.get("/cookies")
    async def cookies() -> Response:
        response = PlainTextResponse("set")
        response.headers.append("Set-Cookie", "a=1; Domain=.previews.test; Path=/; HttpOnly")
        response.headers.append("Set-Cookie", "b=2; path=/;DOMAIN=previews.test")
        response.headers.append("Set-Cookie", "c=3; Domain =.previews.test")
        return response

    @app.get("/drip")
    async def drip() -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"first"
            await held.wait()
            yield b"second"

        return StreamingResponse(pieces())

    @app.get("/release")
    async def release() -> str:
        held.set()
        return "released"

    @app.websocket("/ws")
    async def socket_echo(connection: WebSocket) -> None:
        await connection.accept()
        await connection.send_text((await connection.receive_text()).upper())

    held = asyncio.Event()
    return app


@asynccontextmanager
async def serving(app: FastAPI, port: int) -> AsyncIterator[uvicorn.Server]:
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", lifespan="off", ws="websockets-sansio")
    server = uvicorn.Server(config)
    server.config.load()
    task = asyncio.create_task(server._serve())
    await eventually(lambda: _started(server), "the toy server runs")
    try:
        yield server
    finally:
        server.should_exit = True
        await task


async def _started(server: uvicorn.Server) -> bool:
    return server.started


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    port, web, route, app = (free_port("127.0.0.1") for _ in range(4))
    base = f"http://127.0.0.1:{port}"
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=base, trust_env=False))
        world = World(port=port, client=client, upstream=f"127.0.0.1:{app}")
        world.apps["app"] = await stack.enter_async_context(serving(application(), app))
        world.apps["router"] = await stack.enter_async_context(serving(router(world), route))
        world.apps["web"] = await stack.enter_async_context(serving(application(), web))
        ingress = caddy.Ingress(
            domain=DOMAIN, dashboard_host=DASHBOARD, web=f"127.0.0.1:{web}", router=f"127.0.0.1:{route}",
            port=str(port), bind=("127.0.0.1",), preview_subnets=("127.0.0.2/32", "10.240.0.0/13"),
        )  # fmt: skip
        caddy.prepare(ingress, tmp_path)
        part = caddy.part(ingress, await programs.find_caddy(), tmp_path, tmp_path / "caddy.log")
        stop, ready = asyncio.Event(), asyncio.Event()
        running = asyncio.create_task(supervise((part,), stop, print, ready.set))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        try:
            yield world
        finally:
            stop.set()
            await running


async def test_a_request_reaches_the_upstream_that_the_router_names(world: World) -> None:
    answer = await world.get(LIVE, "/echo?a=1&b=%2F")
    assert answer.status_code == 200
    assert answer.json()["query"] == "a=1&b=%2F"
    assert answer.headers.get_list("X-Previewd-Commit") == [COMMIT]
    assert world.asked[0]["x-forwarded-uri"] == "/echo?a=1&b=%2F"
    assert world.asked[0]["path"] == "/route"


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_passes_to_the_preview_and_not_to_the_router(world: World, chunked: bool) -> None:
    body = b"x" * 3_000_000

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    content = pieces() if chunked else body
    answer = await world.get(LIVE, "/echo", method="POST", content=content)
    assert answer.json()["size"] == len(body)
    assert answer.json()["method"] == "POST"
    assert world.asked[0]["method"] == "GET"
    assert world.asked[0]["x-forwarded-method"] == "POST"
    assert world.asked[0]["body"] == ""
    assert "content-length" not in world.asked[0]


async def test_a_stream_is_passed_on_as_it_comes(world: World) -> None:
    async with world.client.stream("GET", "/drip", headers={"Host": LIVE}) as answer:
        pieces = answer.aiter_raw()
        assert await anext(pieces) == b"first"
        assert (await world.get(LIVE, "/release")).json() == "released"
        assert b"".join([piece async for piece in pieces]) == b"second"


async def test_websockets_pass(world: World) -> None:
    uri = f"ws://{LIVE}:{world.port}/ws"
    async with websockets.connect(uri, host="127.0.0.1", port=world.port, proxy=None) as connection:
        await connection.send("hello")
        assert await connection.recv() == "HELLO"


async def test_the_client_cannot_speak_for_the_router_or_the_proxy(world: World) -> None:
    elsewhere = f"127.0.0.1:{world.port}"
    spoofed = {
        "X-Preview-Upstream": elsewhere, "X-Previewd-Commit": "f" * 40, "X-Previewd-Probe": "secret",
        "X-Forwarded-For": "10.9.9.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.test",
        "Forwarded": "for=10.9.9.9", "X-Real-IP": "10.9.9.9", "X-Forwarded-Uri": "/else",
    }  # fmt: skip
    answer = await world.get(LIVE, "/echo", headers=spoofed)
    seen = dict(answer.json()["headers"])
    assert answer.headers["X-Previewd-Commit"] == COMMIT
    assert not [name for name in seen if name.startswith(("x-preview", "forwarded", "x-forwarded-uri"))]
    assert seen["x-forwarded-for"] == seen["x-real-ip"] == "127.0.0.1"
    assert seen["x-forwarded-proto"] == "http"
    assert seen["x-forwarded-host"] == seen["host"] == LIVE
    asked = world.asked[0]
    assert asked["x-previewd-probe"] == "secret"
    assert asked["x-forwarded-uri"] == "/echo"
    assert asked["x-forwarded-host"] == LIVE
    assert "x-preview-upstream" not in asked


async def test_cookies_stay_with_their_preview(world: World) -> None:
    answer = await world.get(LIVE, "/cookies")
    assert answer.headers.get_list("Set-Cookie") == ["a=1; Path=/; HttpOnly", "b=2; path=/", "c=3"]


async def test_what_the_router_refuses_goes_to_the_browser_as_it_is(world: World) -> None:
    starting = await world.get(f"starting.{DOMAIN}")
    assert (starting.status_code, starting.text, starting.headers["Retry-After"]) == (503, "starting", "1")
    unknown = await world.get(f"pr-9-app.{DOMAIN}")
    assert (unknown.status_code, unknown.text) == (404, "no such preview")


@pytest.mark.parametrize(
    "host", ["else.test", f"a.b.{DOMAIN}", DOMAIN, f"{LIVE}.", f"{LIVE}.evil.test", "127.0.0.1", "[::1]"]
)
async def test_other_hosts_get_404_without_asking_the_router(world: World, host: str) -> None:
    assert (await world.get(host, "/echo")).status_code == 404
    assert world.asked == []


async def test_a_host_in_capitals_and_with_a_port_is_the_same_host(world: World) -> None:
    assert (await world.get(f"{LIVE.upper()}:8080", "/echo")).status_code == 200


async def test_the_dashboard_is_closed_to_previews(world: World) -> None:
    assert (await world.get(DASHBOARD, "/echo")).status_code == 200
    transport = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
    async with httpx.AsyncClient(transport=transport, base_url=world.client.base_url) as inside:
        with pytest.raises(httpx.RemoteProtocolError):
            await inside.get("/echo", headers={"Host": DASHBOARD})
        assert (await inside.get("/echo", headers={"Host": LIVE})).status_code == 200


async def test_a_dead_preview_and_a_dead_router_are_told_apart(world: World) -> None:
    await _end(world.apps["app"], lambda: world.get(LIVE, "/echo"))
    gone = await world.get(LIVE, "/echo")
    assert gone.status_code == 502
    assert "preview does not answer" in gone.text
    await _end(world.apps["router"], lambda: world.get(f"pr-9-app.{DOMAIN}"))
    deaf = await world.get(LIVE, "/echo")
    assert deaf.status_code == 502
    assert "previewd does not answer" in deaf.text


async def test_there_is_no_admin_endpoint(world: World) -> None:
    assert not await listens("127.0.0.1", 2019)


async def _end(server: uvicorn.Server, ask: Callable[[], Awaitable[httpx.Response]]) -> None:
    server.should_exit = True

    async def refused() -> bool:
        return (await ask()).status_code == 502

    await eventually(refused, "Caddy finds nobody there")
