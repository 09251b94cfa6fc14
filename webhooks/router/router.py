"""Tells Caddy, for each request to a preview's host, which container answers there.

A bare ASGI application on a listener of its own, on loopback: it stands in the way of every request, so it has no
framework, and answers from memory. Postgres feeds that memory; only a host that is not in it costs a query.
"""

import asyncio
import hmac
from collections.abc import Iterable, Sequence
from typing import Any

import structlog
from starlette.types import Receive, Scope, Send

from orchestrator.ports.ingress import (
    COMMIT_HEADER,
    PROBE_HEADER,
    ROUTE_HEADER,
    ROUTE_PATH,
    ROUTE_STATUS,
    UPSTREAM_HEADER,
    route_token,
)
from orchestrator.preview.records import Route
from orchestrator.preview.state import PreviewId
from orchestrator.store.changes import ALL, Changes
from orchestrator.store.faults import DATABASE_FAULTS
from orchestrator.store.queries import Queries
from webhooks.metrics import Metrics
from webhooks.router.pages import POLICY, UNAVAILABLE, UNKNOWN, Page, page

LOOKUP_SECONDS = 3.0
RETRY_SECONDS = 1.0

Header = tuple[bytes, bytes]

logger = structlog.get_logger()


class Table:
    """The routes of all live previews, by host."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._hosts: dict[str, Route] = {}
        self._host_of: dict[PreviewId, str] = {}

    def __getitem__(self, host: str) -> Route | None:
        return self._hosts.get(host)

    async def follow(self, changes: Changes) -> None:
        """Keep the table true; never returns. A change is looked up until Postgres has answered."""
        with changes.subscribe() as subscription:
            async for change in subscription:
                await self._refresh(change)

    async def _refresh(self, change: PreviewId | None) -> None:
        while True:
            try:
                async with asyncio.timeout(LOOKUP_SECONDS):
                    return await self._read(change)
            except DATABASE_FAULTS as error:
                logger.warning("routes not read", error=repr(error))
            await asyncio.sleep(RETRY_SECONDS)

    async def _read(self, change: PreviewId | None) -> None:
        if change is ALL:
            self._replace(await self._queries.routes())
        else:
            self._put(change, await self._queries.route_of(change))

    def _replace(self, routes: dict[PreviewId, Route]) -> None:
        self._hosts = {route.host: route for route in routes.values()}
        self._host_of = {preview: route.host for preview, route in routes.items()}

    def _put(self, preview: PreviewId, route: Route | None) -> None:
        old = self._host_of.pop(preview, None)
        if old is not None:
            self._hosts.pop(old, None)
        if route is not None:
            self._hosts[route.host] = route
            self._host_of[preview] = route.host


class Router:
    """The ASGI application."""

    def __init__(self, table: Table, queries: Queries, metrics: Metrics, domain: str, keys: Sequence[str] = ()) -> None:
        self._table = table
        self._keys = keys
        self._queries = queries
        self._metrics = metrics
        self._suffix = "." + domain.lower()

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        """Answer `GET /route`, whatever the request was for which Caddy asks."""
        if scope["type"] != "http":
            return
        headers: Sequence[Header] = scope["headers"]
        if scope["path"] != ROUTE_PATH:
            await _send_page(send, UNKNOWN, "", headers)
            return
        host = normal_host(_values(headers, b"host"))
        try:
            await self._answer(send, host, headers)
        except DATABASE_FAULTS as error:
            logger.warning("route not looked up", error=repr(error))
            self._metrics.route("unavailable")
            await _send_page(send, UNAVAILABLE, host, headers)

    async def _answer(self, send: Send, host: str, headers: Sequence[Header]) -> None:
        probe = _values(headers, PROBE_HEADER.lower().encode())
        if probe and await self._answer_probe(send, host, probe[0]):
            return
        route = self._table[host] or await self._looked_up(host)
        asked = _values(headers, ROUTE_HEADER.lower().encode())
        if asked and self._is_ours(asked[0], host):
            await _send_said(send, route)
        elif route is None:
            self._metrics.route("unknown")
            await _send_page(send, UNKNOWN, host, headers)
        elif route.upstream is None:
            self._metrics.route("page")
            await _send_page(send, page(route.state, route.reason), host, headers)
        else:
            self._metrics.route("upstream")
            await _send_upstream(send, route.upstream, route.commit)

    async def _answer_probe(self, send: Send, host: str, shown: bytes) -> bool:
        """Lead our own probe to the candidate. Read afresh: the worker probes at once after it has set one."""
        route = await self._looked_up(host)
        if route is None or route.probe_token is None or route.candidate_upstream is None:
            return False
        if not hmac.compare_digest(shown, route.probe_token.encode()):
            return False
        self._metrics.route("candidate")
        await _send_upstream(send, route.candidate_upstream, route.candidate_commit)
        return True

    def _is_ours(self, shown: bytes, host: str) -> bool:
        return any(hmac.compare_digest(shown, route_token(key, host).encode()) for key in self._keys)

    async def _looked_up(self, host: str) -> Route | None:
        """Only a host that could be a preview's is worth a query."""
        label = host.removesuffix(self._suffix)
        if label == host or not label or "." in label:
            return None
        async with asyncio.timeout(LOOKUP_SECONDS):
            return await self._queries.route(host)


def normal_host(values: Sequence[bytes]) -> str:
    """The host that was asked for: lower case, without port and final dot. Empty when that is not one plain name."""
    if len(values) != 1:
        return ""
    name, _, port = values[0].decode("latin-1").lower().partition(":")
    if port and not (port.isascii() and port.isdecimal()):
        return ""
    name = name.removesuffix(".")
    return name if name.isascii() and name.replace("-", "").replace(".", "").isalnum() else ""


def _values(headers: Iterable[Header], name: bytes) -> list[bytes]:
    return [value for key, value in headers if key == name]


async def _send_upstream(send: Send, upstream: str, commit: str | None) -> None:
    headers = [(UPSTREAM_HEADER.encode(), upstream.encode()), (COMMIT_HEADER.encode(), (commit or "").encode())]
    await _send(send, 200, [*headers, (b"content-length", b"0")], b"")


async def _send_said(send: Send, route: Route | None) -> None:
    """Tell where visitors are led, without leading there."""
    upstream, commit = (route.upstream or "", route.commit or "") if route else ("", "")
    headers = [(UPSTREAM_HEADER.encode(), upstream.encode()), (COMMIT_HEADER.encode(), commit.encode())]
    await _send(send, ROUTE_STATUS, [*headers, (b"content-length", b"0")], b"")


async def _send_page(send: Send, shown: Page, host: str, headers: Sequence[Header]) -> None:
    """Browsers get HTML, programs plain text; neither keeps it, and no search engine lists it."""
    wants_html = any(b"text/html" in value for value in _values(headers, b"accept"))
    body = shown.html(host) if wants_html else shown.text_only()
    kind = b"text/html; charset=utf-8" if wants_html else b"text/plain; charset=utf-8"
    answer: list[Header] = [
        (b"content-type", kind),
        (b"content-length", str(len(body)).encode()),
        (b"content-security-policy", POLICY.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"x-robots-tag", b"noindex, nofollow"),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-store"),
    ]
    if shown.refresh:
        answer.append((b"retry-after", str(shown.refresh).encode()))
    await _send(send, shown.status, answer, body)


async def _send(send: Send, status: int, headers: list[Header], body: bytes) -> None:
    start: dict[str, Any] = {"type": "http.response.start", "status": status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body})
