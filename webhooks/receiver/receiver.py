"""POST /webhooks/github: verify, understand, record, answer, and then wake a worker.

GitHub gives us ten seconds and never repeats a delivery by itself: 202 therefore means that it is recorded.
"""

import asyncio
import re
from dataclasses import dataclass

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect

from orchestrator.preview.errors import OperatorError
from orchestrator.preview.names import host_name
from orchestrator.runtime.queue import Queue, wake_soon
from orchestrator.runtime.settings import Settings
from orchestrator.store.deliveries import Delivery, Hint, Recorded
from orchestrator.store.faults import DATABASE_FAULTS
from orchestrator.store.store import Store
from webhooks.answers import database_down, failure
from webhooks.metrics import Metrics
from webhooks.receiver import events
from webhooks.receiver.body import BODY_BYTES, BODY_SECONDS, Body, TooLarge, TooSlow
from webhooks.receiver.signature import Verifier

RECORD_SECONDS = 6.0
"""How long Postgres may take: with what a body may take, GitHub's ten seconds are over only for the slowest sender."""

NO_SECRET = "PREVIEWD_GITHUB_WEBHOOK_SECRET is not set, so no delivery can be trusted"  # noqa: S105 - it is a message
NO_SECRET_REMEDY = "set it to the secret of the webhook on GitHub"  # noqa: S105 - it is a message

_GUID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_EVENT = re.compile(r"\w{1,64}", re.ASCII)
_CLOSE = {"Connection": "close"}
"""With an answer that comes before the body's end: the rest of it must not keep the connection."""

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """What taking in a delivery needs."""

    settings: Settings
    store: Store
    queue: Queue
    metrics: Metrics

    async def receive(self, request: Request) -> Response:
        """Answer one delivery, and count the answer."""
        answer = await self._answer(request)
        if answer.status_code >= 400:  # noqa: PLR2004 - client and server errors
            self.metrics.delivery(str(answer.status_code))
        return answer

    async def _answer(self, request: Request) -> Response:
        secrets = [secret.get_secret_value() for secret in self.settings.github_webhook_secret]
        if not any(secrets):
            logger.warning("delivery refused", reason=NO_SECRET)
            return failure(401, NO_SECRET, NO_SECRET_REMEDY, _CLOSE)
        verifier = Verifier(secrets)
        with Body() as body:
            try:
                await body.take(request.headers.get("content-length", ""), request.stream(), verifier.feed)
            except TooLarge:
                return failure(413, f"the body is larger than {BODY_BYTES} bytes", "GitHub sends less", _CLOSE)
            except TooSlow:
                return failure(408, f"the body took longer than {BODY_SECONDS:g} s", "send it faster", _CLOSE)
            except ClientDisconnect:
                return failure(400, "the body ended early")
            if not verifier.accepts(_raw_header(request, b"x-hub-signature-256")):
                return _unsigned(request)
            return await self._understand(request, body.read())

    async def _understand(self, request: Request, body: bytes) -> Response:
        guid, event = request.headers.get("x-github-delivery", ""), request.headers.get("x-github-event", "")
        if not _GUID.fullmatch(guid):
            return failure(400, "X-GitHub-Delivery: the delivery's id is needed", "GitHub sends it")
        if not _EVENT.fullmatch(event):
            return failure(400, "X-GitHub-Event: the event's name is needed", "GitHub sends it")
        try:
            found = events.read(event, request.headers.get("content-type", ""), body)
        except events.Malformed as fault:
            return failure(400, str(fault), "send the payload as GitHub made it")
        return await self._record(_delivery(guid, event, found), self._hint(found), found)

    async def _record(self, delivery: Delivery, hint: Hint | None, found: events.Event) -> Response:
        try:
            async with asyncio.timeout(RECORD_SECONDS):
                recorded = await self.store.deliveries.record(delivery, hint)
                await self._pass_on(found)
        except OperatorError as error:
            return failure(503, error.message, error.remedy)
        except DATABASE_FAULTS as error:
            logger.warning("delivery not recorded", delivery=delivery.id, error=repr(error))
            return database_down()
        self.metrics.delivery("repeated" if recorded is None else delivery.outcome)
        if recorded is None:
            return _accepted(delivery.id, "ignored", "this delivery was recorded before")
        return _accepted(delivery.id, delivery.outcome, delivery.reason, self._wake_up(hint, recorded))

    async def _pass_on(self, found: events.Event) -> None:
        """What follows beside a look at one pull request. Also for a repeated delivery: it changes nothing twice."""
        match found:
            case events.PushEvent(repository=repository, branch=branch):
                await self.store.templates.branch_moved(repository, branch)
            case events.RepositoriesEvent(repositories=repositories):
                await self.store.generations.look_at_all(repositories)
            case events.CommentDeleted(repository=repository, comment=comment):
                await self.store.reports.comment_deleted(repository, comment)
            case events.PullRequestEvent() | events.Ping() | events.Ignored():
                pass

    def _hint(self, found: events.Event) -> Hint | None:
        if not isinstance(found, events.PullRequestEvent):
            return None
        return Hint(
            preview=found.preview,
            repository_name=found.repository_name,
            title=found.title,
            author=found.author,
            branch=found.branch,
            hosts=self._hosts(found),
        )

    def _hosts(self, found: events.PullRequestEvent) -> tuple[str, ...]:
        """The plain host, and one with the repository's number for when another organisation's namesake has it."""
        template, domain = self.settings.host_template, self.settings.domain
        name, preview = found.repository_name, found.preview
        return (
            host_name(template, domain, name, preview.number),
            host_name(template, domain, name, preview.number, suffix=str(preview.repository)),
        )

    def _wake_up(self, hint: Hint | None, recorded: Recorded) -> BackgroundTask | None:
        """The wake-up runs behind the answer: a Redis that hangs delays nobody, and the sweep makes up for it."""
        if hint is None or recorded.generation is None:
            return None
        return BackgroundTask(wake_soon, self.queue, hint.preview, recorded.generation)


def router(receiver: Receiver) -> APIRouter:
    """The one route that GitHub calls."""
    routes = APIRouter()

    @routes.post("/webhooks/github", status_code=202, include_in_schema=False)
    async def github(request: Request) -> Response:
        return await receiver.receive(request)

    return routes


def _delivery(guid: str, event: str, found: events.Event) -> Delivery:
    match found:
        case events.Ping():
            action, outcome, reason = None, "accepted", f"pong: {found.zen}"
        case events.Ignored():
            action, outcome, reason = found.action, "ignored", found.reason
        case events.PushEvent():
            action, outcome, reason = None, "accepted", f"the template of {found.branch} will be looked at, if any"
        case events.RepositoriesEvent():
            action, outcome, reason = found.action, "accepted", _will_be_looked_at(found)
        case events.CommentDeleted():
            action, outcome, reason = "deleted", "accepted", f"comment {found.comment} is written anew, if it is ours"
        case events.PullRequestEvent():
            action, outcome, reason = found.action, "accepted", f"preview {found.preview} will be looked at"
    return Delivery(id=guid, event=event, action=action, outcome=outcome, reason=reason)


def _will_be_looked_at(found: events.RepositoriesEvent) -> str:
    if found.repositories is None:
        return "every preview will be looked at"
    named = ", ".join(str(repository) for repository in sorted(found.repositories)[:10]) or "none"
    return f"the previews of these repositories will be looked at: {named}"


def _accepted(guid: str, outcome: str, reason: str, background: BackgroundTask | None = None) -> Response:
    return JSONResponse({"delivery": guid, "outcome": outcome, "reason": reason}, 202, background=background)


def _unsigned(request: Request) -> Response:
    missing = not _raw_header(request, b"x-hub-signature-256")
    what = "X-Hub-Signature-256 is missing" if missing else "X-Hub-Signature-256 does not fit the body"
    return failure(401, what, "set the same secret on GitHub and in PREVIEWD_GITHUB_WEBHOOK_SECRET")


def _raw_header(request: Request, name: bytes) -> bytes:
    """The header's bytes as they came: as text, a byte that is not ASCII would be another one."""
    return next((value for key, value in request.headers.raw if key == name), b"")
