"""The Engine's builder of before BuildKit: for Engines that have nothing else. It gets everything in one tar.

It has neither mounts, nor secrets, nor heredocs: a Dockerfile that needs them is refused before anything is sent.
"""

import re
import stat
import tarfile
import uuid
from collections import deque
from collections.abc import AsyncIterator

from orchestrator.adapters.engine.buildkit.redaction import Redaction
from orchestrator.adapters.engine.buildkit.request import Build, sent
from orchestrator.adapters.engine.registry_auth import encoded
from orchestrator.codebase.dockerfile import parse
from orchestrator.ports.engine import BuildRequest
from orchestrator.ports.sources import BuildContext, ContextEntry
from orchestrator.preview.errors import BuildError, Place, TemporaryError

IGNORE_FILE = ".dockerignore"
TAIL_LINES = 30
REMEDY = "Write the Dockerfile without it, or ask the operator for a Docker Engine that has BuildKit."

_STEP = re.compile(r"Step (\d+)/\d+ : ")


async def run(build: Build) -> str:
    """Build one image and return its id. Raises BuildError, also for what only BuildKit can do."""
    _refuse_what_needs_buildkit(build.request)
    name = f".previewd-{uuid.uuid4().hex}"
    query = build.query | {"version": "1", "dockerfile": name}
    headers = {"Content-Type": "application/x-tar", "X-Registry-Config": encoded(build.registries.engine_form())}
    told = _Told(build.request, build.redact)
    image = ""
    async with sent(build.client, query, headers=headers, body=tar(build.request, build.context, name)) as answer:
        async for message in answer:
            if "error" in message:
                raise told.failure(str(message["error"]))
            image = (message.get("aux") or {}).get("ID", image)
            for line in told.read(str(message.get("stream", ""))):
                await build.log(line)
    if not image:
        raise TemporaryError("the Docker Engine ended the build without an image and without a reason")
    return image


async def tar(request: BuildRequest, context: BuildContext, dockerfile: str) -> AsyncIterator[bytes]:
    """The context as one archive, with the Dockerfile under a name of ours.

    An ignore file that names both keeps them out of the image; it takes the place of the context's own. Python's usual
    PAX headers would be read as a Dockerfile.
    """
    own = {dockerfile: request.dockerfile, IGNORE_FILE: f"{dockerfile}\n{IGNORE_FILE}\n".encode()}
    for path, content in own.items():
        yield _header(_info(path, 0o644, len(content), context.modified)) + _padded(content)
    async with context.reading() as read:
        for entry in context.entries:
            if entry.path == IGNORE_FILE:
                continue
            yield _header(_described(entry, context.modified))
            if stat.S_ISREG(entry.mode):
                async for chunk in read(entry):
                    yield chunk
                yield bytes(-entry.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


class _Told:
    """The lines of its output, and the step that it is at."""

    def __init__(self, request: BuildRequest, redact: Redaction) -> None:
        self._request = request
        self._redact = redact
        self._rest = ""
        self._step = 0
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)

    def read(self, text: str) -> list[str]:
        *lines, self._rest = (self._rest + text).split("\n")
        shown = [self._redact(line) for line in lines if line.strip()]
        for line in shown:
            if step := _STEP.match(line):
                self._step = int(step[1])
                self._tail.clear()
            else:
                self._tail.append(line)
        return shown

    def failure(self, error: str) -> BuildError:
        instructions = parse(self._request.dockerfile.decode(errors="replace"), heredocs=False)
        found = instructions[self._step - 1] if 0 < self._step <= len(instructions) else None
        place = Place(file=self._request.dockerfile_name, line=found.line if found else 0)
        text = f"`{found.keyword} {found.arguments}` failed: " if found else ""
        code = re.search(r"returned a non-zero code: (\d+)", error)
        reason = f"exit code {code[1]}" if code else self._redact(error)
        return BuildError(f"{place}: {text}{reason}", log_tail=tuple(self._tail))


def _refuse_what_needs_buildkit(request: BuildRequest) -> None:
    for instruction in parse(request.dockerfile.decode(errors="replace"), request.dockerfile_name):
        place = Place(file=request.dockerfile_name, line=instruction.line)
        if instruction.heredocs:
            raise BuildError(f"{place}: the Docker Engine has no BuildKit, and a heredoc needs it", REMEDY)
        if any(flag.name == "mount" for flag in instruction.flags):
            raise BuildError(f"{place}: the Docker Engine has no BuildKit, and `--mount` needs it", REMEDY)
    if request.secrets or request.certificates:
        raise BuildError("the Docker Engine has no BuildKit, and the secrets of a build need it", REMEDY)


def _described(entry: ContextEntry, modified: int) -> tarfile.TarInfo:
    info = _info(entry.path, entry.mode & 0o777, entry.size, modified)
    if stat.S_ISDIR(entry.mode):
        info.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(entry.mode):
        info.type, info.linkname = tarfile.SYMTYPE, entry.link
    return info


def _info(path: str, mode: int, size: int, modified: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.mode, info.size, info.mtime = mode, size, modified
    return info


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % tarfile.BLOCKSIZE)
