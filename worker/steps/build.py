"""Have an image for every service: built from the commit, or pulled."""

import asyncio
import posixpath

from orchestrator.compose.model import Build, Service
from orchestrator.dockerfile import base_images
from orchestrator.errors import BuildError, ComposeError
from orchestrator.ports import BuildRequest
from worker.deployment import Deployment
from worker.images import builders, image_reference, is_of_instance, qualified
from worker.stack import read_stack
from worker.together import together

NOT_BUILT = ("dockerfile_inline", "additional_contexts", "secrets", "ulimits", "no_cache_filter", "network")
"""Keys of `build` that need more of BuildKit than the Engine's build request offers."""


async def run(deployment: Deployment) -> None:
    stack, _ = await read_stack(deployment)
    limit = deployment.hands.settings.build_seconds
    try:
        async with asyncio.timeout(limit):
            await together(*(_ensure_image(deployment, service) for service in builders(stack)))
    except TimeoutError:
        raise BuildError(
            f"the images were not there after {limit:g} s",
            "make the build faster, or ask the operator to raise PREVIEWD_BUILD_SECONDS",
        ) from None


async def _ensure_image(deployment: Deployment, service: Service) -> None:
    reference = image_reference(deployment.names, service, deployment.commit, await deployment.image_salt())
    if service.build is None:
        _refuse_other_previews(deployment, service, reference)
    if await deployment.hands.engine.image(reference) is not None:
        await deployment.journal.say(f"{service.name}: {reference} is here already")
    elif service.build is not None:
        await _build(deployment, service, service.build, reference)
    else:
        await _pull(deployment, reference)


def _refuse_other_previews(deployment: Deployment, service: Service, reference: str) -> None:
    """An image of ours is made from somebody else's commit, maybe with what only that preview may see."""
    if is_of_instance(deployment.names.instance, reference):
        raise ComposeError(
            service.place, f"{reference} is an image of another preview", "name an image of a registry, or build one"
        )


async def _build(deployment: Deployment, service: Service, build: Build, reference: str) -> None:
    _refuse_what_is_not_built(service, build)
    await _ensure_base_images(deployment, service, build)
    request = BuildRequest(
        tag=reference,
        dockerfile=build.dockerfile,
        target=build.target,
        args=build.args,
        platform=build.platform,
        no_cache=build.no_cache,
        shm_size=build.shm_size,
        labels=deployment.names.commit_labels(deployment.commit, deployment.gate.generation),
    )
    context = deployment.hands.sources.context(
        deployment.pull.repository, deployment.commit, build.context, build.dockerfile
    )
    await deployment.permit()
    await deployment.journal.say(f"{service.name}: building {build.dockerfile} as {reference}")
    await deployment.hands.engine.build(request, context, deployment.journal.say)


def _refuse_what_is_not_built(service: Service, build: Build) -> None:
    """What the language reads and a build would silently lack: better no image than another one."""
    for key in NOT_BUILT:
        if getattr(build, key):
            raise ComposeError(
                service.place, f"previewd does not build with `build.{key}` yet", "write the Dockerfile without it"
            )


async def _ensure_base_images(deployment: Deployment, service: Service, build: Build) -> None:
    path = posixpath.normpath(posixpath.join(build.context, build.dockerfile))
    files = await deployment.hands.sources.read(deployment.pull.repository, deployment.commit, [path])
    if path not in files:
        raise ComposeError(
            service.place, f"there is no {path} in the repository", "add it, or name another as `build.dockerfile`"
        )
    for image in map(qualified, base_images(files[path].decode(errors="replace"), dict(build.args))):
        _refuse_other_previews(deployment, service, image)
        if build.pull or await deployment.hands.engine.image(image) is None:
            await _pull(deployment, image)


async def _pull(deployment: Deployment, reference: str) -> None:
    await deployment.permit()
    await deployment.journal.say(f"pulling {reference}")
    await deployment.hands.engine.pull(reference, deployment.journal.say)
