"""One build, from its request to the image's id or to what is wrong with it."""

import asyncio
import base64
import contextlib
import uuid
from collections.abc import Iterator

import httpx

from orchestrator.adapters.engine.buildkit import classic, session
from orchestrator.adapters.engine.buildkit.files import DockerfileFolder, Folder
from orchestrator.adapters.engine.buildkit.progress import Progress
from orchestrator.adapters.engine.buildkit.redaction import Redaction
from orchestrator.adapters.engine.buildkit.request import Answer, Build, NoBuildKit, sent
from orchestrator.adapters.engine.registry_auth import RegistryAuth
from orchestrator.ports.engine import BuildRequest, Log
from orchestrator.ports.sources import BuildContext
from orchestrator.preview.errors import BuildError, TemporaryError, Unavailable
from orchestrator.runtime import fence

TRACE_ID = "moby.buildkit.trace"
IMAGE_ID = "moby.image.id"
DOCKERFILE = "Dockerfile"
"""What BuildKit knows it by, in a folder of its own."""
LIMITS_API = (1, 42)
"""The first version of the Engine's API behind which BuildKit knows `shm_size` and `ulimits`."""
CANCEL_SECONDS = 10.0


async def build(
    client: httpx.AsyncClient, request: BuildRequest, context: BuildContext, registries: RegistryAuth, log: Log
) -> str:
    """Build one image and return its id, telling `log` each line as it happens.

    However this ends, but by an answer of the Engine, the build is stopped there too. Raises BuildError when the
    Dockerfile is at fault, Unavailable when the Engine goes away, OperatorError when it refuses.
    """
    fence.require()
    redact = Redaction([*request.secrets.values(), *(secret.encode() for secret in registries.secrets)])
    asked = Build(
        client=client,
        request=request,
        context=context,
        registries=registries,
        log=log,
        redact=redact,
        id=uuid.uuid4().hex,
    )
    try:
        return await _run(asked)
    except BuildError:
        raise
    except httpx.TransportError as error:
        await _cancel(asked)
        raise Unavailable(f"the connection to the Docker Engine broke during the build: {error!r}", 5.0) from error
    except BaseException:
        await _cancel(asked)
        raise


async def _run(build: Build) -> str:
    try:
        return await _with_buildkit(build)
    except NoBuildKit as words:
        await build.log(f"the Docker Engine has no BuildKit ({words}): its classic builder is used")
        return await classic.run(build)


async def _with_buildkit(build: Build) -> str:
    request = build.request
    for line in _ignored(build):
        await build.log(line)
    folders: dict[str, Folder] = {
        "context": build.context,
        "dockerfile": DockerfileFolder(DOCKERFILE, request.dockerfile),
    }
    mounted = {**request.secrets, **request.certificates}
    services = session.Services(folders=folders, secrets=mounted, registries=build.registries)
    async with session.opened(build.client, services, shared_key=request.tag.rpartition(":")[0]) as opened:
        files = {"version": "2", "remote": "client-session", "session": opened.id, "dockerfile": DOCKERFILE}
        try:
            async with sent(build.client, build.query | files) as answer:
                return await _follow(answer, Progress(request, build.redact), build.log)
        except BuildError as error:
            raise opened.failure or error from None


def _ignored(build: Build) -> Iterator[str]:
    """Better said than silently lacking."""
    wanted = {"shm_size": build.request.shm_size, "ulimits": build.request.ulimits}
    version = tuple(map(int, build.client.base_url.path.strip("/").removeprefix("v").split(".")))
    if version < LIMITS_API:
        yield from (
            f"warning: this Docker Engine ignores `{name}`; Engine 23 and newer do not"
            for name, set_ in wanted.items()
            if set_
        )


async def _follow(answer: Answer, progress: Progress, log: Log) -> str:
    image = ""
    async for message in answer:
        if message.get("id") == TRACE_ID:
            for line in progress.read(base64.b64decode(message["aux"])):
                await log(line)
        elif message.get("id") == IMAGE_ID:
            image = str(message["aux"]["ID"])
        elif "error" in message:
            raise progress.failure(str(message["error"]))
    if not image:
        raise TemporaryError("the Docker Engine ended the build without an image and without a reason")
    return image


async def _cancel(build: Build) -> None:
    """Stop the build in the Engine, also while our own task is being cancelled. An Engine that is gone runs none.

    Also when the lease is lost: nobody else's build has this id.
    """
    with fence.under(None):
        call = asyncio.create_task(build.client.post("/build/cancel", params={"id": build.id}, timeout=CANCEL_SECONDS))
    while not call.done():
        with contextlib.suppress(asyncio.CancelledError, httpx.HTTPError):
            await asyncio.shield(call)
