"""The JSON API for programs. Every route below /api/v1 wants `Authorization: Bearer` with PREVIEWD_ADMIN_TOKEN."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, HTTPException, Path, Query
from fastapi.responses import JSONResponse, Response
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import BaseModel, ConfigDict, TypeAdapter
from starlette.background import BackgroundTask

from orchestrator.databases.limits import Fill
from orchestrator.preview.records import Deployment, Leak, LogLine, Preview
from orchestrator.preview.state import PreviewId, State
from orchestrator.runtime.queue import Queue, wake_soon
from orchestrator.runtime.settings import Settings
from orchestrator.store.changes import Changes
from orchestrator.store.queries import Queries
from orchestrator.store.store import Store
from webhooks.access import Access
from webhooks.answers import LARGEST_ID, Silence, event_id, event_stream


class PreviewAnswer(BaseModel):
    """A preview."""

    id: str
    repository: str
    number: int
    title: str
    author: str
    branch: str
    state: State
    reason: str
    host: str
    url: str
    commit: str | None
    serving_commit: str | None
    waits_for: str | None
    place: int | None
    created_at: datetime
    updated_at: datetime


class DatabaseAnswer(BaseModel):
    """What a preview uses of its Postgres server, against its limits."""

    model_config = ConfigDict(from_attributes=True)

    bytes: int
    limit_bytes: int
    fill: Fill
    connections: int
    connection_limit: int
    ended: str
    ended_at: datetime | None
    measured_at: datetime


class LeaksAnswer(BaseModel):
    """What the worker's last round saw; `at` is null until there was one, and of what is `unknown` nobody could say."""

    at: datetime | None
    by: str
    unknown: tuple[str, ...]
    leaks: list[Leak]


class LogAnswer(BaseModel):
    """Lines of the newest deployment; pass the last one's id as `after` to get what follows."""

    deployment: int | None
    lines: list[LogLine]


class RedeployAnswer(BaseModel):
    """A deployment was asked for."""

    id: str
    generation: int


_LINE = TypeAdapter(LogLine)
_END = format_sse_event(event="end", data_str="{}")

Id = Annotated[str, Path(alias="id", description="as in 812345-7")]
Every = Annotated[bool, Query(alias="all", description="also those that were removed")]
After = Annotated[int, Query(ge=0, le=LARGEST_ID, description="the id of the last line that is known")]
LastEvent = Annotated[str, Header(alias="Last-Event-ID", description="the same, as browsers send it")]
Follow = Annotated[bool, Query(description="stream the lines as they come")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The operations, on what they need."""

    settings: Settings
    store: Store
    queries: Queries
    queue: Queue
    changes: Changes

    async def previews(self, every: Every = False) -> list[PreviewAnswer]:
        """Live previews, the newest change first."""
        found = await (self.queries.all() if every else self.queries.live())
        return [self._preview(preview) for preview in found]

    async def preview(self, preview_id: Id) -> PreviewAnswer:
        """One preview."""
        return self._preview(await self._found(preview_id))

    async def deployments(self, preview_id: Id) -> list[Deployment]:
        """The newest deployments of a preview, newest first."""
        preview = await self._found(preview_id)
        return await self.queries.deployments(preview.id)

    async def logs(self, preview_id: Id, after: After = 0, follow: Follow = False, last: LastEvent = "") -> Any:
        """What the newest deployment printed. With `follow` a stream of server-sent events, until it has ended.

        They carry their ids, so that any client for them goes on where its connection broke (`Last-Event-ID`).
        """
        preview = await self._found(preview_id)
        newest = await self.queries.deployments(preview.id, limit=1)
        if follow:
            known = max(after, event_id(last))
            return event_stream(self._followed(newest[0], known) if newest else _nothing())
        lines = await self.queries.log(newest[0].id, after) if newest else []
        return LogAnswer(deployment=newest[0].id if newest else None, lines=lines)

    async def redeploy(self, preview_id: Id) -> Response:
        """Deploy the newest commit again, though nothing changed."""
        preview = await self._found(preview_id)
        return self._asked_for(preview, await self.store.generations.force(preview.id))

    async def reset_database(self, preview_id: Id) -> Response:
        """Have the database made anew, as for a new pull request, and the newest commit deployed on it."""
        preview = await self._found(preview_id)
        return self._asked_for(preview, await self.store.generations.reset(preview.id))

    async def database(self, preview_id: Id) -> DatabaseAnswer | None:
        """What a preview uses of its Postgres server, as of the last measurement; null when it has no database."""
        preview = await self._found(preview_id)
        use = await self.store.usage.of(preview.id)
        return None if use is None else DatabaseAnswer.model_validate(use)

    async def leaks(self) -> LeaksAnswer:
        """What exists and should not, as the worker saw it last."""
        found, seen = await self.store.leaks.all(), await self.store.leaks.last_round()
        return LeaksAnswer(
            at=seen.at if seen else None,
            by=seen.by if seen else "",
            unknown=seen.unknown if seen else (),
            leaks=found,
        )

    async def _found(self, text: str) -> Preview:
        try:
            preview = await self.queries.preview(PreviewId.parse(text))
        except ValueError:
            raise _unknown() from None
        if preview is None:
            raise _unknown()
        return preview

    def _asked_for(self, preview: Preview, generation: int | None) -> Response:
        """A deployment is recorded; a worker hears of it behind the answer."""
        if generation is None:
            raise _unknown()
        answer = RedeployAnswer(id=str(preview.id), generation=generation)
        wake = BackgroundTask(wake_soon, self.queue, preview.id, generation)
        return JSONResponse(answer.model_dump(), 202, background=wake)

    def _preview(self, preview: Preview) -> PreviewAnswer:
        return PreviewAnswer(
            id=str(preview.id),
            repository=preview.repository_name,
            number=preview.id.number,
            title=preview.title,
            author=preview.author,
            branch=preview.branch,
            state=preview.state,
            reason=preview.reason,
            host=preview.host,
            url=self.settings.preview_url(preview.host),
            commit=preview.commit,
            serving_commit=preview.serving_commit,
            waits_for=preview.waits_for,
            place=preview.place,
            created_at=preview.created_at,
            updated_at=preview.updated_at,
        )

    async def _followed(self, deployment: Deployment, after: int) -> AsyncIterator[bytes]:
        """Which deployment it is, its lines as they come, and that it has ended; no word of that when we end."""
        yield _event_of(deployment)
        silence = Silence()
        with self.changes.subscribe() as subscription:
            async for lines in self.queries.follow(deployment.id, after, subscription.pause):
                for line in lines:
                    yield _event(line)
                if silence.is_too_long(spoken=bool(lines)):
                    yield KEEPALIVE_COMMENT
            if subscription.is_open:
                yield _END


def router(api: Api, access: Access) -> APIRouter:
    """The routes of the API. The token is asked for before anything is looked up."""
    routes = APIRouter(prefix="/api/v1", dependencies=[Depends(access.with_token)], tags=["previews"])
    routes.add_api_route("/previews", api.previews, methods=["GET"])
    routes.add_api_route("/leaks", api.leaks, methods=["GET"])
    routes.add_api_route("/previews/{id}", api.preview, methods=["GET"])
    routes.add_api_route("/previews/{id}/deployments", api.deployments, methods=["GET"])
    routes.add_api_route("/previews/{id}/logs", api.logs, methods=["GET"], response_model=LogAnswer)
    routes.add_api_route(
        "/previews/{id}/redeploy", api.redeploy, methods=["POST"], response_model=RedeployAnswer, status_code=202
    )
    routes.add_api_route("/previews/{id}/database", api.database, methods=["GET"])
    routes.add_api_route(
        "/previews/{id}/reset-database",
        api.reset_database,
        methods=["POST"],
        response_model=RedeployAnswer,
        status_code=202,
    )
    return routes


def _event(line: LogLine) -> bytes:
    return format_sse_event(id=str(line.id), data_str=_LINE.dump_json(line).decode())


def _event_of(deployment: Deployment) -> bytes:
    return format_sse_event(event="deployment", data_str=json.dumps({"id": deployment.id, "commit": deployment.commit}))


async def _nothing() -> AsyncIterator[bytes]:
    """The stream of a preview that was never deployed."""
    yield _END


def _unknown() -> HTTPException:
    return HTTPException(404, "there is no such preview")
