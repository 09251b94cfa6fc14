"""What keeps an open page true: newer pieces of the same templates, as server-sent events."""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastapi import Request
from fastapi.responses import Response
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from orchestrator.preview.state import PreviewId, State
from orchestrator.runtime.health import LOOK_SECONDS
from orchestrator.store.changes import ALL, Changes
from orchestrator.store.queries import POLL_SECONDS, Queries
from webhooks.answers import KEEPALIVE_SECONDS, Silence, event_id, event_stream
from webhooks.dashboard.pages import Id
from webhooks.dashboard.reading import Reader
from webhooks.dashboard.rendering import Renderer


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    queries: Queries
    changes: Changes
    reader: Reader
    renderer: Renderer

    async def events(self) -> Response:
        """What changes in the list of previews."""
        return event_stream(self._list_changes())

    async def preview_events(self, request: Request, preview_id: Id, after: str = "") -> Response:
        """What changes about one preview. `after` is the last log line on the page, as `deployment:line`."""
        preview = await self.reader.found(preview_id)
        known = request.headers.get("last-event-id", after)
        deployment, _, line = known.partition(":")
        return event_stream(self._preview_changes(preview.id, event_id(deployment), event_id(line)))

    async def _list_changes(self) -> AsyncIterator[bytes]:
        """The whole list first: the page, or the connection before this one, may be a while old."""
        shown = b""
        with self.changes.subscribe() as subscription:
            subscription.put(ALL)
            while await subscription.wait(KEEPALIVE_SECONDS):
                changed = subscription.taken()
                if (banner := await self._banner()) != shown:
                    shown = banner
                    yield banner
                if not changed:
                    yield await self._summary()  # what the databases use changes without a word
                elif ALL in changed:
                    yield await self._whole_list()
                else:
                    for preview in changed:
                        yield await self._row(preview)
                    yield await self._summary()

    async def _banner(self) -> bytes:
        return _patch("banner", self.renderer.markup("parts/banner.html", health=await self.reader.health()))

    async def _whole_list(self) -> bytes:
        return _patch("list", self.renderer.markup("parts/list.html", **await self.reader.listed()))

    async def _row(self, preview_id: PreviewId | None) -> bytes:
        if preview_id is None:
            return KEEPALIVE_COMMENT
        preview = await self.queries.preview(preview_id)
        gone = preview is None or preview.state is State.REMOVED
        markup = "" if gone else self.renderer.markup("parts/row.html", preview=preview)
        return _patch(f"preview-{preview_id}", markup, into="previews")

    async def _summary(self) -> bytes:
        return _patch("summary", self.renderer.markup("parts/summary.html", **await self.reader.listed()))

    async def _preview_changes(self, preview_id: PreviewId, deployment: int, line: int) -> AsyncIterator[bytes]:
        """The page's upper part whenever something changed, and the lines of whichever deployment is the newest.

        It has no end: a page stays open when a deployment has ended, and shows the next one.
        """
        shown, silence, banner, banner_at = "", Silence(), b"", 0.0
        with self.changes.subscribe() as subscription:
            while True:
                detail = await self.reader.detail_without_log(preview_id)
                if detail is None:
                    return
                newest = detail.newest
                if newest is not None and newest.id != deployment:
                    deployment, line = newest.id, 0
                    yield _patch("log", '<pre id="log" class="log"></pre>')
                lines = await self.queries.log(deployment, line) if newest else []
                if lines:
                    line = lines[-1].id
                    yield _append("log", self.renderer.markup("parts/lines.html", lines=lines), f"{deployment}:{line}")
                markup = self.renderer.markup("parts/detail.html", detail=detail)
                if markup != shown:
                    shown = markup
                    yield _patch("detail", markup)
                if time.monotonic() >= banner_at:
                    banner_at = time.monotonic() + LOOK_SECONDS
                    if (newer := await self._banner()) != banner:
                        banner = newer
                        yield banner
                if silence.is_too_long(spoken=bool(lines)):
                    yield KEEPALIVE_COMMENT
                if not await subscription.pause(POLL_SECONDS):
                    return


def _patch(element: str, markup: str, into: str = "") -> bytes:
    """Put `markup` in the place of an element, or first into another when there is no such element yet."""
    return format_sse_event(event="patch", data_str=json.dumps({"id": element, "html": markup, "into": into}))


def _append(element: str, markup: str, position: str) -> bytes:
    return format_sse_event(event="append", data_str=json.dumps({"id": element, "html": markup}), id=position)
