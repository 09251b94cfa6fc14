"""What pages and streams show, read from previewd's own Postgres."""

from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from fastapi import HTTPException

from orchestrator.databases.usage import DatabaseUse
from orchestrator.preview.records import Deployment, LogLine, Preview, Transition
from orchestrator.preview.state import PreviewId
from orchestrator.runtime.health import Health, health
from orchestrator.store.backups import Backup
from orchestrator.store.queries import Queries
from orchestrator.store.store import Store

LINES_SHOWN = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """All that the page of one preview shows."""

    preview: Preview
    deployments: list[Deployment]
    transitions: list[Transition]
    lines: list[LogLine]
    use: DatabaseUse | None
    backups: list[Backup]

    @property
    def newest(self) -> Deployment | None:
        return self.deployments[0] if self.deployments else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    store: Store
    queries: Queries

    async def found(self, text: str) -> Preview:
        """The preview of this id, as an address has it. Raises the 404 that people see."""
        try:
            preview = await self.queries.preview(PreviewId.parse(text))
        except ValueError:
            raise unknown() from None
        if preview is None:
            raise unknown()
        return preview

    async def detail(self, text: str) -> Detail:
        """What a page shows when it is opened: with the end of the newest log."""
        preview = await self.found(text)
        detail = await self.detail_without_log(preview.id)
        if detail is None:
            raise unknown()
        lines = await self.queries.log_end(detail.newest.id, LINES_SHOWN) if detail.newest else []
        return replace(detail, lines=lines)

    async def detail_without_log(self, preview_id: PreviewId) -> Detail | None:
        """What an open page is kept true with: of the log it is sent what is new."""
        preview = await self.queries.preview(preview_id)
        if preview is None:
            return None
        return Detail(
            preview=preview,
            deployments=await self.queries.deployments(preview_id),
            transitions=await self.queries.transitions(preview_id),
            lines=[],
            use=await self.store.usage.of(preview_id),
            backups=await self.store.backups.of(preview_id),
        )

    async def listed(self) -> dict[str, Any]:
        """The list of live previews, and what their server has given out."""
        return {"previews": await self.queries.live(), "server": await self.store.usage.server()}

    async def frame(self) -> dict[str, Any]:
        """What every page shows around its own content: what is away, and how many things have leaked."""
        return {"health": await self.health(), "leaked": len(await self.store.leaks.all())}

    async def health(self) -> Health:
        """What is away, as the workers have recorded it."""
        found, now = await self.store.health.all()
        return health(found, now, {})


def unknown() -> HTTPException:
    return HTTPException(HTTPStatus.NOT_FOUND, "There is no such preview.")
