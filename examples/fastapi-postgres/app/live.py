"""Answers that come in pieces: a stream and a WebSocket. A proxy that buffers them would spoil both."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse

router = APIRouter()


@router.get("/api/stream")
async def stream(
    count: Annotated[int, Query(ge=1, le=1000)] = 5, interval: Annotated[float, Query(ge=0, le=5)] = 0.2
) -> StreamingResponse:
    """Send `count` JSON lines, one every `interval` seconds."""
    return StreamingResponse(_ticks(count, interval), media_type="application/x-ndjson")


@router.websocket("/ws")
async def echo(socket: WebSocket) -> None:
    """Send every text back as it came, until the client leaves."""
    await socket.accept()
    try:
        while True:
            await socket.send_text(await socket.receive_text())
    except WebSocketDisconnect:
        return


async def _ticks(count: int, interval: float) -> AsyncIterator[str]:
    for number in range(1, count + 1):
        yield json.dumps({"tick": number}) + "\n"
        await asyncio.sleep(interval)
