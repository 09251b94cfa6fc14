"""The form of the web process's JSON answers and of its streams, and what each fault of ours is answered with."""

import time
from collections.abc import AsyncIterator

from fastapi.responses import JSONResponse, StreamingResponse

LARGEST_ID = 2**63 - 1
"""Of a line, or of anything else that Postgres counts."""

KEEPALIVE_SECONDS = 15.0
"""A stream on which nothing happens says so this often, or a proxy would take it for dead."""

DATABASE_REMEDY = "check that Postgres runs, that PREVIEWD_DATABASE_URL is right, and that `previewd migrate` was run"


def failure(status: int, error: str, remedy: str = "", headers: dict[str, str] | None = None) -> JSONResponse:
    """Say what is wrong and what to do about it."""
    return JSONResponse({"error": error, "remedy": remedy}, status, headers)


def database_down() -> JSONResponse:
    return failure(503, "previewd's database does not answer", DATABASE_REMEDY, {"Retry-After": "5"})


def event_stream(events: AsyncIterator[bytes]) -> StreamingResponse:
    """Server-sent events, which no proxy on the way keeps or holds back."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


def event_id(text: str) -> int:
    """The last id that a client has seen, as it shows it; 0 for what is none, which is not worth an error."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(LARGEST_ID))
    return min(int(text), LARGEST_ID) if is_number else 0


class Silence:
    """How long a stream has had nothing to say."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def is_too_long(self, *, spoken: bool) -> bool:
        """Whether a comment has to break it. To be asked at each look; `spoken` is whether that brought anything."""
        now = time.monotonic()
        too_long = not spoken and now - self._since >= KEEPALIVE_SECONDS
        if spoken or too_long:
            self._since = now
        return too_long
