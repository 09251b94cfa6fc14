"""Takes away what no preview needs: images that nobody uses, and the build cache beyond its limit.

An image is shared by all previews of its repository. Each writes down what it is about to use before it looks for
it, so an image that stands nowhere may go; should one be removed right when somebody finds it again, his launch
misses it, and it is built again.
"""

from collections.abc import Mapping

import structlog

from orchestrator.preview.errors import TemporaryError
from orchestrator.preview.names import REPOSITORY_LABEL, instance_labels
from worker.context.context import WorkerContext

_log = structlog.get_logger()


async def tidy_images(context: WorkerContext, repository: int) -> None:
    """The same of one repository, as far as it goes: a preview is not at fault when something unknown uses an image."""
    try:
        await discard_images(context, repository)
    except TemporaryError as error:
        _log.info("left for the next round", reason=error.message)


async def discard_images(context: WorkerContext, repository: int | None = None) -> None:
    """Remove what images of this instance, or of one repository, no preview serves with or is about to use.

    Raises TemporaryError when one is still in use, after it has removed the others.
    """
    labels = instance_labels(context.settings.instance)
    if repository is not None:
        labels |= {REPOSITORY_LABEL: str(repository)}
    failure: TemporaryError | None = None
    for name in await _unused(context, labels):
        try:
            await context.engine.remove_image(name)
        except TemporaryError as error:
            failure = error
    if failure is not None:
        raise failure


async def _unused(context: WorkerContext, labels: Mapping[str, str]) -> list[str]:
    present = [thing.name for thing in await context.engine.objects(labels) if thing.kind == "image"]
    used = await context.queries.images()  # read last: what somebody is about to use by now, he has written down
    return [name for name in present if name not in used and _is_ours(context.settings.instance, name)]


def _is_ours(instance: str, name: str) -> bool:
    """By its name, or without one: an image from elsewhere may carry any label."""
    return name.startswith((f"{instance}/", "sha256:"))
