"""Have an image for every service: found, built from the commit, or pulled."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from functools import partial

from orchestrator.compose.model import Service
from orchestrator.preview.errors import BuildError, ImageMissing, LaunchError
from orchestrator.preview.state import State
from orchestrator.runtime.concurrency import run_all
from worker.deployment.deployment import Deployment
from worker.deployment.recipe import Recipe, qualified
from worker.deployment.recipes import pull, recipe_of, refuse_other_previews
from worker.deployment.stack import read_stack

FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 30.0
"""Between two looks for an image that the repository's CI is to push."""


async def run(deployment: Deployment) -> None:
    stack, _ = await read_stack(deployment)
    services = stack.services.values()
    recipes = await _recipes(deployment, [service for service in services if service.build is not None])
    await deployment.permit()
    needed = {name: each for recipe in recipes for name, each in recipe.everything().items()}
    await deployment.claim.serving.use_images(needed)  # before any is looked for: nobody removes it now
    plain = {qualified(service.image or ""): service for service in services if service.build is None}
    await run_all(
        *(_have(deployment, recipe) for recipe in recipes),
        *(_have_plain(deployment, service, image) for image, service in plain.items()),
    )


async def _recipes(deployment: Deployment, services: list[Service]) -> list[Recipe]:
    """One for each image: services that build alike share it."""
    await run_all(*(recipe_of(deployment, service) for service in services))
    found = [await recipe_of(deployment, service) for service in services]
    return list({recipe.reference: recipe for recipe in found}.values())


async def _have(deployment: Deployment, recipe: Recipe) -> None:
    """Find the image, or make it, and first what it takes files from."""
    turn = deployment.context.build_slots.alone(recipe.reference)
    if turn.locked():
        await deployment.journal.say(f"{recipe.subject}: {recipe.reference} is being built already")
    async with turn:
        if await deployment.context.engine.image(recipe.reference) is not None:
            said = f"{recipe.subject}: {recipe.reference} is here already: built from the same content"
            await deployment.journal.say(said)
            return
        await run_all(*(_have(deployment, first) for first in recipe.first))
        repository, tell = deployment.pull.repository, partial(_say_it_waits, deployment, recipe)
        async with deployment.context.build_slots.build(repository, tell) as waited:
            if waited:
                await deployment.claim.advance(State.BUILDING, "build begins")
            await _build(deployment, recipe)


async def _say_it_waits(deployment: Deployment, recipe: Recipe, observation: str) -> None:
    """Say that a build waits for its turn, and why."""
    await deployment.journal.say(f"{recipe.subject}: waiting for its turn; {observation}")
    reason = f"{recipe.subject} waits for its turn to be built: {observation}"
    await deployment.claim.advance(State.BUILDING, reason)


async def _build(deployment: Deployment, recipe: Recipe) -> None:
    """Build one image, within its time and without too long a silence. However this ends, the Engine builds no more."""
    settings, journal = deployment.context.settings, deployment.journal
    loop = asyncio.get_running_loop()
    await deployment.permit()
    await journal.say(f"{recipe.subject}: building {recipe.request.dockerfile_name} as {recipe.reference}")
    for remark in recipe.remarks:
        await journal.say(f"{recipe.subject}: {remark}")
    try:
        async with asyncio.timeout(settings.build_seconds), asyncio.timeout(settings.build_silence_seconds) as silence:

            async def say(line: str) -> None:
                silence.reschedule(loop.time() + settings.build_silence_seconds)
                await journal.say(line)

            await deployment.context.engine.build(recipe.request, recipe.context, say)
    except TimeoutError:
        raise _took_too_long(deployment, recipe, silent=silence.expired()) from None


def _took_too_long(deployment: Deployment, recipe: Recipe, *, silent: bool) -> BuildError:
    settings = deployment.context.settings
    tail = deployment.journal.tail
    if silent:
        return BuildError(
            f"the build of {recipe.subject} printed nothing for {settings.build_silence_seconds:g} s, and was ended",
            "check what its last step waits for, or ask the operator to raise PREVIEWD_BUILD_SILENCE_SECONDS",
            tail,
        )
    return BuildError(
        f"the image of {recipe.subject} was not there after {settings.build_seconds:g} s",
        "make the build faster, or ask the operator to raise PREVIEWD_BUILD_SECONDS",
        tail,
    )


async def _have_plain(deployment: Deployment, service: Service, image: str) -> None:
    """Find an image that is not built here, or pull it."""
    refuse_other_previews(deployment, service, image)
    async with deployment.context.build_slots.alone(image):
        if await deployment.context.engine.image(image) is not None:
            await deployment.journal.say(f"{service.name}: {image} is here already")
        elif service.awaited:
            await _await(deployment, service, image)
        else:
            await pull(deployment, image)


async def _await(deployment: Deployment, service: Service, image: str) -> None:
    """Pull an image as soon as the repository's CI has pushed it."""
    limit = deployment.context.settings.image_wait_seconds
    deadline, pause = time.monotonic() + limit, FIRST_PAUSE_SECONDS
    said = False
    while True:
        try:
            await pull(deployment, image)
        except ImageMissing as missing:
            if time.monotonic() + pause > deadline:
                raise LaunchError(
                    f"{service.place}: {image} did not appear within {limit:g} s: {missing.message}",
                    "check the CI run that is to push it; without `x-preview: {image: pull}` it is built here",
                ) from None
        else:
            break
        if not said:
            until = datetime.now(UTC) + timedelta(seconds=limit)
            await _tell(deployment, f"waiting for {image}, which the CI is to push; until {until:%H:%M} UTC")
            said = True
        await asyncio.sleep(pause)
        pause = min(LONGEST_PAUSE_SECONDS, pause * 1.5)
    if said:
        await _tell(deployment, f"{image} is here")


async def _tell(deployment: Deployment, what: str) -> None:
    """Say it in the log and on the pull request."""
    await deployment.journal.say(what)
    await deployment.claim.advance(State.BUILDING, what)
