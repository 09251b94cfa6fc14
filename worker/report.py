"""Tell the forge where a preview stands. Off the critical path: a forge that does not answer delays only this.

Comment, commit status and deployments are told one by one, and what was told is noted at once: a fault of one costs the
others nothing, and a worker that is killed in between leaves nothing to be said twice.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from orchestrator.ports.forge import ForgeDeployment
from orchestrator.preview.errors import ForgeGone, ForgeUnavailable, LeaseLost, OperatorError
from orchestrator.preview.records import Deployment, Preview
from orchestrator.preview.state import PreviewId, State
from orchestrator.reporting.comment import Feedback, render
from orchestrator.reporting.deployments import deployments
from orchestrator.runtime import fence
from orchestrator.store.reports import FINAL, ReportClaim, Said
from worker.context.context import WorkerContext

TELL_SECONDS = 15.0
"""How long each of the three may take, with its turn to write: together less than a claim lasts."""

MIN_PAUSE_SECONDS = 2.0
AWAY_PAUSE_SECONDS = 60.0
"""The pause doubles up to this while the forge does not answer: it is back sooner or later."""
REFUSED_PAUSE_SECONDS = 600.0
"""… and up to this while it refuses: somebody has to grant us something first."""
MAX_DOUBLINGS = 10

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What there is to tell of a preview, and what was told before."""

    context: WorkerContext
    preview: Preview
    newest: Deployment | None
    feedback: Feedback
    told: ReportClaim


async def report(context: WorkerContext, preview_id: PreviewId) -> None:
    """Send what differs from what was sent last. What could not be sent is tried again later."""
    told = await context.store.reports.begin(preview_id)
    if told is None:
        return
    with fence.under(told.fence):
        try:
            await _tell(context, preview_id, told)
        except LeaseLost:
            _log.info("report lost: another worker may tell by now", preview=str(preview_id))


async def _tell(context: WorkerContext, preview_id: PreviewId, told: ReportClaim) -> None:
    preview = await context.queries.preview(preview_id)
    if preview is None:
        return
    delay = context.forge.write_delay(final=preview.state in FINAL)
    if delay > 0:
        await context.store.reports.postpone(preview.id, delay, preview.updated_at, refused=False)
        return
    news = await _gather(context, preview, told)
    faults = []
    for tell in (_comment, _status, _deployments):
        if fault := await _attempt(tell, news):
            faults.append(fault)
        elif await context.store.reports.has_changed(preview.id, preview.updated_at):
            break  # what is news by now goes first: each of the three may have waited for its turn to be written
    if faults:
        pause = max(_pause(fault, told.attempts) for fault in faults)
        await context.store.reports.postpone(preview.id, pause, preview.updated_at, refused=True)
    else:
        await context.store.reports.end(preview.id, preview.updated_at)


async def _attempt(tell: Callable[[News], Awaitable[None]], news: News) -> ForgeUnavailable | OperatorError | None:
    """Tell one of the three, and return what was in the way."""
    about = {"preview": str(news.preview.id), "what": tell.__name__.strip("_")}
    try:
        async with asyncio.timeout(TELL_SECONDS):
            await tell(news)
    except TimeoutError:
        return ForgeUnavailable(f"the forge was not told within {TELL_SECONDS:g} s")
    except ForgeUnavailable as error:
        _log.info("report postponed", **about, reason=error.message)
        return error
    except OperatorError as error:
        if isinstance(error, ForgeGone) and news.preview.state is State.REMOVED:
            return None  # the repository, or our access to it, is gone: there is nobody to be told
        _log.error("the forge refuses our report", **about, reason=error.message, remedy=error.remedy)
        return error
    return None


async def _comment(news: News) -> None:
    told, said = news.told, news.feedback
    if told.comment == said.comment_digest:
        return
    repository, number = news.preview.id.repository, news.preview.id.number
    comment = await news.context.forge.put_comment(repository, number, said.marker, said.body, told.comment_id)
    # None: the conversation is locked. It is tried again when there is something new to say.
    await news.context.store.reports.comment(news.preview.id, comment or told.comment_id, said.comment_digest)


async def _status(news: News) -> None:
    status = news.feedback.status
    if status is None or news.told.status == news.feedback.status_digest:
        return
    url = news.context.settings.preview_url(news.preview.host)
    repository = news.preview.id.repository
    await news.context.forge.put_status(repository, status.commit, status.state, status.description, url)
    await news.context.store.reports.status(news.preview.id, news.feedback.status_digest)


async def _deployments(news: News) -> None:
    known = dict(news.told.deployments)
    for deployment in _wanted(news):
        before = known.get(deployment.commit, Said(None, ""))
        if before.said == deployment.said:
            continue
        if deployment.commit not in known:
            # Noted before it is made: were we killed now, it would still be found when its commit serves no more.
            known[deployment.commit] = before
            await news.context.store.reports.deployments(news.preview.id, known)
        made = await news.context.forge.put_deployment(news.preview.id.repository, deployment, before.id)
        known[deployment.commit] = Said(made, deployment.said)
        if deployment.state == "inactive":
            del known[deployment.commit]
        await news.context.store.reports.deployments(news.preview.id, known)


def _wanted(news: News) -> list[ForgeDeployment]:
    settings, preview = news.context.settings, news.preview
    return deployments(
        preview,
        news.newest,
        settings.preview_url(preview.host),
        f"{settings.public_url.rstrip('/')}/previews/{preview.id}",
        news.feedback.marker,
        news.told.deployments,
    )


async def _gather(context: WorkerContext, preview: Preview, told: ReportClaim) -> News:
    history = await context.queries.deployments(preview.id, limit=1)
    newest = history[0] if history else None
    settings = context.settings
    rendered = render(
        preview,
        newest,
        settings.preview_url(preview.host),
        settings.public_url.rstrip("/"),
        settings.secret_key[0].get_secret_value(),
        await context.store.usage.of(preview.id),
    )
    return News(context=context, preview=preview, newest=newest, feedback=rendered, told=told)


def _pause(fault: ForgeUnavailable | OperatorError, attempts: int) -> float:
    """Seconds until it is tried again: longer with each attempt, and never less than the forge asks for."""
    growing = MIN_PAUSE_SECONDS * 2.0 ** min(attempts, MAX_DOUBLINGS)
    if isinstance(fault, ForgeUnavailable):
        return max(fault.retry_after, min(growing, AWAY_PAUSE_SECONDS))
    return min(growing, REFUSED_PAUSE_SECONDS)
