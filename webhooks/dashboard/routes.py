"""The dashboard: every preview at one glance, and one preview in every detail, both kept true while they are open.

Pages are rendered here and work without a script; the script only puts newer pieces of the same templates in place,
as one stream of events sends them.
"""

import json
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path as FilePath
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, HTTPException, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.background import BackgroundTask

from orchestrator.databases.usage import DatabaseUse, connections_sentence, size_sentence
from orchestrator.preview.records import Deployment, LogLine, Preview
from orchestrator.preview.state import PreviewId, State
from orchestrator.reporting import text
from orchestrator.runtime.health import LOOK_SECONDS, Health, health
from orchestrator.runtime.queue import Queue, wake_soon
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.units import size_told
from orchestrator.store.backups import Backup
from orchestrator.store.changes import ALL, Changes
from orchestrator.store.queries import Queries
from orchestrator.store.store import Store
from webhooks.dashboard import present, session
from webhooks.throttle import Throttle, peer_of

HERE = FilePath(__file__).parent
STATIC = HERE / "static"
LARGEST_FORM = 64 * 1024
LIST_SECONDS = 15.0
"""A stream on which nothing happens says so this often, or a proxy would take it for dead."""
LOG_SECONDS = 0.5
"""Log lines are not announced: an open page's stream asks this often."""
LINES_SHOWN = 1000
DIGITS = 18
STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})

Id = Annotated[str, Path(alias="id")]


class SignInNeeded(HTTPException):
    """Nobody is signed in: the page is answered with the form that changes that."""

    def __init__(self) -> None:
        super().__init__(HTTPStatus.UNAUTHORIZED, "sign in first")


def environment() -> Environment:
    """The templates. All of them escape; an unknown name is an error."""
    templates = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals.update(
        age=text.age,
        bars=present.bars,
        blocks=present.blocks,
        outcome_tone=present.outcome_tone,
        short=text.short,
        took=present.took,
        tone=text.tone,
        count=_count,
        size=size_told,
        share=present.share,
        size_sentence=size_sentence,
        connections_sentence=connections_sentence,
    )
    templates.filters["clean"] = text.clean
    return templates


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """All that the page of one preview shows."""

    preview: Preview
    deployments: list[Deployment]
    transitions: list[Any]
    lines: list[LogLine]
    use: DatabaseUse | None
    backups: list[Backup]

    @property
    def newest(self) -> Deployment | None:
        return self.deployments[0] if self.deployments else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """The pages, on what they need."""

    settings: Settings
    store: Store
    queries: Queries
    queue: Queue
    changes: Changes
    templates: Environment = field(default_factory=environment)
    attempts: Throttle = field(default_factory=Throttle)

    # Who may come in

    async def guard(self, request: Request) -> None:
        """Stand before every page: nobody who is not signed in, and nothing that another site's page made us do."""
        cookie = request.cookies.get(session.cookie_name(self.settings), "")
        if not session.holds(self.settings, cookie, time.time()):
            raise SignInNeeded
        self._same_origin(request)

    def _same_origin(self, request: Request) -> None:
        if request.method in UNSAFE and not session.same_origin(request.headers, self.settings.public_url):
            raise HTTPException(HTTPStatus.FORBIDDEN, "this request came from another site")

    def sign_in_page(self, target: str, error: str = "") -> Response:
        """The form that asks for the admin token, and goes on to `target`."""
        configured = bool(self.settings.admin_token.get_secret_value())
        return self._page("login.html", HTTPStatus.UNAUTHORIZED, target=target, error=error, configured=configured)

    async def sign_in(self, request: Request) -> Response:
        """Take the admin token and hand out the cookie."""
        self._same_origin(request)
        form = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=8)
        target = _local(form.get("target", ["/"])[0])
        shown = form.get("token", [""])[0].strip()
        peer, now = peer_of(request.client.host if request.client else "", request.headers), time.monotonic()
        if seconds := self.attempts.seconds_to_wait(peer, now):
            return self._refuse_for_now(target, seconds)
        if not session.knows_token(self.settings, shown):
            if shown:
                self.attempts.failed(peer, now)
            return self.sign_in_page(target, "That is not the admin token.")
        answer = RedirectResponse(target, HTTPStatus.SEE_OTHER)
        answer.set_cookie(
            session.cookie_name(self.settings),
            session.issue(self.settings, time.time()),
            max_age=session.LIFETIME_SECONDS,
            httponly=True,
            samesite="lax",
            secure=session.is_secure(self.settings),
        )
        return answer

    def _refuse_for_now(self, target: str, seconds: int) -> Response:
        error = f"Too many wrong tokens were tried. Try again in {seconds} s."
        answer = self._page("login.html", HTTPStatus.TOO_MANY_REQUESTS, target=target, error=error, configured=True)
        answer.headers["Retry-After"] = str(seconds)
        return answer

    async def sign_out(self) -> Response:
        """Take the cookie back."""
        answer = RedirectResponse("/", HTTPStatus.SEE_OTHER)
        name, secure = session.cookie_name(self.settings), session.is_secure(self.settings)
        answer.delete_cookie(name, httponly=True, samesite="lax", secure=secure)
        return answer

    # Pages

    async def index(self) -> Response:
        """Every live preview."""
        return self._page("index.html", **await self._frame(), **await self._listed())

    async def preview(self, preview_id: Id) -> Response:
        """One preview."""
        detail = await self._detail(preview_id)
        return self._page("preview.html", detail=detail, last_line=_last(detail.lines), **await self._frame())

    async def leaks(self) -> Response:
        """What exists and should not, as the worker saw it last: from here nobody reaches the Engine."""
        found, last = await self.store.leaks.all(), await self.store.leaks.last_round()
        named = {PreviewId.parse(leak.preview) for leak in found if leak.preview}
        known = {str(each) for each in named if await self.queries.preview(each)}
        return self._page("leaks.html", found=found, known=known, round=last, **await self._frame())

    async def reset_database(self, preview_id: Id) -> Response:
        """Deploy again, with a new database."""
        preview = await self._found(preview_id)
        return self._asked_for(preview, await self.store.generations.reset(preview.id))

    async def redeploy(self, preview_id: Id) -> Response:
        """Deploy again, though nothing changed."""
        preview = await self._found(preview_id)
        return self._asked_for(preview, await self.store.generations.force(preview.id))

    def _asked_for(self, preview: Preview, generation: int | None) -> Response:
        """A deployment is recorded; a worker hears of it behind the answer, which leads back to the page."""
        if generation is None:
            raise _unknown()
        wake = BackgroundTask(wake_soon, self.queue, preview.id, generation)
        return RedirectResponse(f"/previews/{preview.id}", HTTPStatus.SEE_OTHER, background=wake)

    def error_page(self, status: int, message: str, remedy: str = "") -> Response:
        """What went wrong, for people."""
        return self._page("error.html", status, status=status, message=message, remedy=remedy)

    def api_page(self, schema: Mapping[str, Any]) -> Response:
        """The API's operations, as its OpenAPI document lists them."""
        return self._page("api.html", operations=_operations(schema))

    # Streams

    async def events(self) -> Response:
        """What changes in the list of previews."""
        return StreamingResponse(self._list_changes(), media_type="text/event-stream", headers=STREAM_HEADERS)

    async def preview_events(self, request: Request, preview_id: Id, after: str = "") -> Response:
        """What changes about one preview. `after` is the last log line on the page, as `deployment:line`."""
        preview = await self._found(preview_id)
        known = request.headers.get("last-event-id", after)
        stream = self._preview_changes(preview.id, *_position(known))
        return StreamingResponse(stream, media_type="text/event-stream", headers=STREAM_HEADERS)

    async def _list_changes(self) -> AsyncIterator[bytes]:
        """The whole list first: the page, or the connection before this one, may be a while old."""
        shown = b""
        with self.changes.subscribe() as subscription:
            subscription.put(ALL)
            while await subscription.wait(LIST_SECONDS):
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
        return _patch("banner", self._render("parts/banner.html", health=await self._health()))

    async def _health(self) -> Health:
        """What is away, as the workers have recorded it."""
        found, now = await self.store.health.all()
        return health(found, now, {})

    async def _whole_list(self) -> bytes:
        return _patch("list", self._render("parts/list.html", **await self._listed()))

    async def _row(self, preview_id: PreviewId | None) -> bytes:
        if preview_id is None:
            return KEEPALIVE_COMMENT
        preview = await self.queries.preview(preview_id)
        gone = preview is None or preview.state is State.REMOVED
        markup = "" if gone else self._render("parts/row.html", preview=preview)
        return _patch(f"preview-{preview_id}", markup, into="previews")

    async def _summary(self) -> bytes:
        return _patch("summary", self._render("parts/summary.html", **await self._listed()))

    async def _frame(self) -> dict[str, Any]:
        """What every page shows around its own content: what is away, and how many things have leaked."""
        return {"health": await self._health(), "leaked": len(await self.store.leaks.all())}

    async def _listed(self) -> dict[str, Any]:
        return {"previews": await self.queries.live(), "server": await self.store.usage.server()}

    async def _preview_changes(self, preview_id: PreviewId, deployment: int, line: int) -> AsyncIterator[bytes]:
        """The page's upper part whenever something changed, and log lines as they come."""
        shown, silent, banner, banner_at = "", 0.0, b"", 0.0
        with self.changes.subscribe() as subscription:
            while True:
                detail = await self._read(preview_id)
                if detail is None:
                    return
                newest = detail.newest
                if newest is not None and newest.id != deployment:
                    deployment, line = newest.id, 0
                    yield _patch("log", '<pre id="log" class="log"></pre>')
                lines = await self.queries.log(deployment, line) if newest else []
                if lines:
                    line = lines[-1].id
                    yield _append("log", self._render("parts/lines.html", lines=lines), f"{deployment}:{line}")
                markup = self._render("parts/detail.html", detail=detail)
                if markup != shown:
                    shown = markup
                    yield _patch("detail", markup)
                if time.monotonic() >= banner_at:
                    banner_at = time.monotonic() + LOOK_SECONDS
                    if (newer := await self._banner()) != banner:
                        banner = newer
                        yield banner
                silent = 0.0 if lines else silent + LOG_SECONDS
                if silent >= LIST_SECONDS:
                    silent = 0.0
                    yield KEEPALIVE_COMMENT
                if not await subscription.pause(LOG_SECONDS):
                    return

    # What is read and how it is shown

    async def _detail(self, text: str) -> Detail:
        preview = await self._found(text)
        detail = await self._read(preview.id)
        if detail is None:
            raise _unknown()
        newest = detail.newest
        lines = await self.queries.log_end(newest.id, LINES_SHOWN) if newest else []
        return Detail(
            preview=detail.preview,
            deployments=detail.deployments,
            transitions=detail.transitions,
            lines=lines,
            use=detail.use,
            backups=detail.backups,
        )

    async def _read(self, preview_id: PreviewId) -> Detail | None:
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

    async def _found(self, text: str) -> Preview:
        try:
            preview = await self.queries.preview(PreviewId.parse(text))
        except ValueError:
            raise _unknown() from None
        if preview is None:
            raise _unknown()
        return preview

    def _page(self, template: str, status: int = HTTPStatus.OK, /, **values: Any) -> Response:
        return HTMLResponse(self._render(template, **values), status, HEADERS)

    def _render(self, template: str, /, **values: Any) -> str:
        forge = present.forge_web(self.settings.github_api_url)
        return self.templates.get_template(template).render(
            settings=self.settings, forge=forge, now=datetime.now(UTC), **values
        )


def router(dashboard: Dashboard) -> APIRouter:
    """The routes of the dashboard: two for signing in, and those behind the guard."""
    routes = APIRouter(include_in_schema=False, max_body_size=LARGEST_FORM)
    routes.add_api_route("/login", dashboard.sign_in, methods=["POST"])
    inside = APIRouter(dependencies=[Depends(dashboard.guard)], include_in_schema=False)
    inside.add_api_route("/", dashboard.index, methods=["GET"])
    inside.add_api_route("/logout", dashboard.sign_out, methods=["POST"])
    inside.add_api_route("/leaks", dashboard.leaks, methods=["GET"])
    inside.add_api_route("/events", dashboard.events, methods=["GET"])
    inside.add_api_route("/previews/{id}", dashboard.preview, methods=["GET"])
    inside.add_api_route("/previews/{id}/events", dashboard.preview_events, methods=["GET"])
    inside.add_api_route("/previews/{id}/redeploy", dashboard.redeploy, methods=["POST"])
    inside.add_api_route("/previews/{id}/reset-database", dashboard.reset_database, methods=["POST"])
    routes.include_router(inside)
    return routes


def _count(previews: Iterable[Preview]) -> list[tuple[str, State, int]]:
    """How many previews there are in each state, as (tone, state, count), in the order of the states."""
    counts = dict.fromkeys(State, 0)
    for preview in previews:
        counts[preview.state] += 1
    return [(text.tone(state), state, number) for state, number in counts.items() if number]


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


def _patch(element: str, markup: str, into: str = "") -> bytes:
    """Put `markup` in the place of an element, or first into another when there is no such element yet."""
    return format_sse_event(event="patch", data_str=json.dumps({"id": element, "html": markup, "into": into}))


def _append(element: str, markup: str, position: str) -> bytes:
    return format_sse_event(event="append", data_str=json.dumps({"id": element, "html": markup}), id=position)


def _position(text: str) -> tuple[int, int]:
    deployment, _, line = text.partition(":")
    return _small_number(deployment), _small_number(line)


def _small_number(text: str) -> int:
    """A number that fits the column; 0 for anything else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= DIGITS else 0


def _last(lines: list[LogLine]) -> int:
    return lines[-1].id if lines else 0


def _local(target: str) -> str:
    """A path of ours: never another site, which `//host` and a backslash would be to a browser."""
    plain = target.startswith("/") and not target.startswith("//") and "\\" not in target and target.isprintable()
    return target if plain else "/"


def _unknown() -> HTTPException:
    return HTTPException(HTTPStatus.NOT_FOUND, "There is no such preview.")
