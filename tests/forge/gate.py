"""Every request passes here first: it is recorded, and a planned fault may answer in place of the forge."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.forge.faults import Faults


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRequest:
    """A request as it came. `path` has no query; of several values of one query parameter the last counts."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Gate:
    """ASGI middleware around the whole forge. Read `requests` from any thread; it only grows."""

    def __init__(self, app: ASGIApp, faults: Faults, requests: list[RecordedRequest]) -> None:
        self._app = app
        self._faults = faults
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        body = await request.body()
        self._requests.append(_record(request, body))
        fault = self._faults.take(request.method, request.url.path)
        if fault is not None:
            await asyncio.sleep(fault.delay)
            if fault.status is not None:
                failure = JSONResponse({"message": fault.message}, fault.status, fault.headers)
                await failure(scope, receive, send)
                return
        await self._app(scope, _replay(body, receive), send)


def _record(request: Request, body: bytes) -> RecordedRequest:
    return RecordedRequest(
        method=request.method,
        path=request.url.path,
        query=dict(request.query_params),
        headers=dict(request.headers),
        body=body,
    )


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give the body that was read to the application, and afterwards what the client does next."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay
