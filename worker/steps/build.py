"""Have an image for every service: built from the commit, or pulled."""

import asyncio

from orchestrator.compose.model import Build, Service
from orchestrator.errors import AuthorError, BuildError
from orchestrator.ports import BuildRequest
from worker.deployment import Deployment
from worker.images import builders, image_reference
from worker.stack import read_stack
from worker.together import together


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
    reference = image_reference(deployment.names, service, deployment.commit)
    if await deployment.hands.engine.image(reference) is not None:
        await deployment.journal.say(f"{service.name}: {reference} is here already")
    elif service.build is not None:
        await _build(deployment, service, service.build, reference)
    else:
        await deployment.permit()
        await deployment.journal.say(f"{service.name}: pulling {reference}")
        await deployment.hands.engine.pull(reference, deployment.journal.say)


async def _build(deployment: Deployment, service: Service, build: Build, reference: str) -> None:
    if build.dockerfile_inline is not None:
        raise AuthorError(
            f"{service.place}: `build.dockerfile_inline` is not built yet",
            "put its lines into a Dockerfile and name that as `build.dockerfile`",
        )
    request = BuildRequest(
        tag=reference,
        dockerfile=build.dockerfile,
        target=build.target,
        args=build.args,
        labels=deployment.names.commit_labels(deployment.commit, deployment.gate.generation),
    )
    context = deployment.hands.sources.context(
        deployment.pull.repository, deployment.commit, build.context, build.dockerfile
    )
    await deployment.permit()
    await deployment.journal.say(f"{service.name}: building {build.dockerfile} as {reference}")
    await deployment.hands.engine.build(request, context, deployment.journal.say)
