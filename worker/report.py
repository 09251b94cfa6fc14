"""Tell the forge where a preview stands. Off the critical path: a forge that does not answer delays only this."""

import structlog

from orchestrator import feedback
from orchestrator.errors import ForgeUnavailable, OperatorError
from orchestrator.feedback import Feedback
from orchestrator.preview import PreviewId
from orchestrator.records import Preview
from worker.context import Hands

_log = structlog.get_logger()


async def report(hands: Hands, preview_id: PreviewId) -> None:
    """Send the newest comment and status, if they differ from what was sent last. Failures are tried again later."""
    preview = await hands.views.preview(preview_id)
    if preview is None:
        return
    told = await _render(hands, preview)
    comment = preview.comment_id
    if told.digest != preview.reported:
        try:
            comment = await _send(hands, preview, told)
        except ForgeUnavailable as error:
            _log.info("report postponed", preview=str(preview_id), reason=error.message)
            return
        except OperatorError as error:
            _log.error("the forge refuses our report", preview=str(preview_id), reason=error.message)
    await hands.store.reported(preview_id, comment, told.digest, preview.updated_at)


async def _render(hands: Hands, preview: Preview) -> Feedback:
    deployments = await hands.views.deployments(preview.id, limit=1)
    settings = hands.settings
    return feedback.render(
        preview,
        deployments[0] if deployments else None,
        settings.preview_url(preview.host),
        settings.public_url.rstrip("/"),
        settings.secret_key[0].get_secret_value(),
        await hands.store.gauges.of(preview.id),
    )


async def _send(hands: Hands, preview: Preview, told: Feedback) -> int | None:
    repository, number = preview.id.repository, preview.id.number
    comment = await hands.forge.put_comment(repository, number, told.marker, told.body, preview.comment_id)
    if told.status is not None:
        url = hands.settings.preview_url(preview.host)
        status = told.status
        await hands.forge.put_status(repository, status.commit, status.state, status.description, url)
    return comment
