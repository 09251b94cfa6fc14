"""The dashboard's pages, and the buttons on them. Pages are whole without a script."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Path
from fastapi.responses import RedirectResponse, Response
from starlette.background import BackgroundTask

from orchestrator.preview.records import Preview
from orchestrator.preview.state import PreviewId
from orchestrator.runtime.queue import Queue, wake_soon
from orchestrator.store.queries import Queries
from orchestrator.store.store import Store
from webhooks.dashboard.reading import Reader, unknown
from webhooks.dashboard.rendering import Renderer

Id = Annotated[str, Path(alias="id")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    store: Store
    queries: Queries
    queue: Queue
    reader: Reader
    renderer: Renderer

    async def index(self) -> Response:
        """Every live preview."""
        return self.renderer.page("index.html", **await self.reader.frame(), **await self.reader.listed())

    async def preview(self, preview_id: Id) -> Response:
        """One preview."""
        detail = await self.reader.detail(preview_id)
        last_line = detail.lines[-1].id if detail.lines else 0
        return self.renderer.page("preview.html", detail=detail, last_line=last_line, **await self.reader.frame())

    async def leaks(self) -> Response:
        """What exists and should not, as the worker saw it last: from here nobody reaches the Engine."""
        found, last = await self.store.leaks.all(), await self.store.leaks.last_round()
        named = {PreviewId.parse(leak.preview) for leak in found if leak.preview}
        known = {str(each) for each in named if await self.queries.preview(each)}
        return self.renderer.page("leaks.html", found=found, known=known, round=last, **await self.reader.frame())

    async def redeploy(self, preview_id: Id) -> Response:
        """Deploy again, though nothing changed."""
        preview = await self.reader.found(preview_id)
        return self._asked_for(preview, await self.store.generations.force(preview.id))

    async def reset_database(self, preview_id: Id) -> Response:
        """Deploy again, with a new database."""
        preview = await self.reader.found(preview_id)
        return self._asked_for(preview, await self.store.generations.reset(preview.id))

    def error(self, status: int, message: str, remedy: str = "") -> Response:
        """What went wrong, for people."""
        return self.renderer.page("error.html", status, status=status, message=message, remedy=remedy)

    def api(self, schema: Mapping[str, Any]) -> Response:
        """The API's operations, as its OpenAPI document lists them."""
        return self.renderer.page("api.html", operations=_operations(schema))

    def _asked_for(self, preview: Preview, generation: int | None) -> Response:
        """A deployment is recorded; a worker hears of it behind the answer, which leads back to the page."""
        if generation is None:
            raise unknown()
        wake = BackgroundTask(wake_soon, self.queue, preview.id, generation)
        return RedirectResponse(f"/previews/{preview.id}", HTTPStatus.SEE_OTHER, background=wake)


def _operations(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "method": method.upper(),
            "path": path,
            "text": operation.get("description", ""),
            "query": [each["name"] for each in operation.get("parameters", []) if each["in"] == "query"],
        }
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]
