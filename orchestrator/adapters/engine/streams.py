"""The Engine's HTTP API by httpx: what takes long or answers bit by bit (builds, pulls, checks, logs).

Used by the two adapters beside it. Short calls go through the Docker SDK, which blocks a thread for each; a stream
here is a coroutine, and ends when that is cancelled.
"""

import json
import ssl
from collections.abc import AsyncIterator
from typing import Any

import httpx

from orchestrator.adapters.fenced_http import FENCED

CONNECT_SECONDS = 10.0
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""No Engine's address here is https, and reading the machine's certificates takes 20 ms: per client, on the loop."""

FRAME_HEADER = 8
"""Octets before each piece of a container's output: which stream, three zeros, and the length (big-endian)."""


def client(base_url: str, api_version: str = "") -> httpx.AsyncClient:
    """A client for `unix:///path` or `tcp://host:port`. Reading waits as long as its caller does.

    Without a version it speaks to an Engine of which none is known yet.
    """
    scheme, _, rest = base_url.partition("://")
    local = scheme in {"unix", "http+unix"}
    socket = "/" + rest.lstrip("/") if local else None
    transport = _FencedTransport(uds=socket, verify=_NO_TLS)
    return httpx.AsyncClient(
        transport=transport,
        base_url=f"http://{'docker' if local else rest}" + (f"/v{api_version}" if api_version else ""),
        timeout=httpx.Timeout(CONNECT_SECONDS, read=None, write=None),
        trust_env=False,  # an Engine is never behind the proxy that the environment names
    )


class _FencedTransport(httpx.AsyncHTTPTransport):
    """Asks the fence when a request has its connection and is about to be written to it."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, **FENCED}
        return await super().handle_async_request(request)


async def refusal(response: httpx.Response) -> str:
    """The Engine's own words for an answer that is an error."""
    text = (await response.aread()).decode(errors="replace").strip()
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text or f"HTTP {response.status_code}"


async def json_lines(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """The JSON objects of an answer as they arrive. httpx's own lines also end at characters that JSON allows."""
    rest = b""
    async for chunk in response.aiter_bytes():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in filter(bytes.strip, lines):
            yield json.loads(line)
    if rest.strip():
        yield json.loads(rest)


async def output(response: httpx.Response, *, framed: bool) -> AsyncIterator[bytes]:
    """What a container printed, both streams in order. Without a terminal (`framed`) each piece has a header."""
    rest = b""
    async for chunk in response.aiter_bytes():
        if not framed:
            yield chunk
            continue
        rest += chunk
        while len(rest) >= FRAME_HEADER:
            end = FRAME_HEADER + int.from_bytes(rest[4:FRAME_HEADER], "big")
            if len(rest) < end:
                break
            yield rest[FRAME_HEADER:end]
            rest = rest[end:]
