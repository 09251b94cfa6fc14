"""Builds by the BuildKit inside the Docker Engine, through `POST /build?version=2`. Called by the Engine's adapter.

The answer is a stream of BuildKit's own status messages (protobuf, package moby.buildkit.v1, message StatusResponse).
They are read here field by field: there are four messages and a dozen fields of interest, and no Python client.
What they say becomes plain lines, in the form that `docker build --progress=plain` made familiar.
"""

import asyncio
import base64
import contextlib
import json
import re
import uuid
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass, field
from enum import IntEnum

import httpx

from orchestrator.adapters import engine_streams
from orchestrator.errors import BuildError, OperatorError, TemporaryError
from orchestrator.ports import BuildRequest, Log

TRACE_ID = "moby.buildkit.trace"
IMAGE_ID = "moby.image.id"
TAIL_LINES = 30
LINE_LENGTH = 4096
"""A longer line of output is cut into several."""
CANCEL_SECONDS = 10.0
SERVER_ERROR = 500


async def build(client: httpx.AsyncClient, request: BuildRequest, context: AsyncIterator[bytes], log: Log) -> str:
    """Build one image and return its id, telling `log` each line as it happens.

    However this ends, but by an answer of the Engine, the build is stopped there too. Raises BuildError when the
    Dockerfile is at fault, TemporaryError when the Engine goes away, OperatorError when it refuses.
    """
    build_id = uuid.uuid4().hex
    try:
        return await _stream(client, _parameters(request, build_id), context, log)
    except BuildError:
        raise
    except httpx.TransportError as error:
        await _cancel(client, build_id)
        raise TemporaryError(f"the connection to the Docker Engine broke during the build: {error!r}") from error
    except BaseException:
        await _cancel(client, build_id)
        raise
    finally:
        if isinstance(context, AsyncGenerator):
            await context.aclose()  # an upload that broke off leaves it, and the program that it reads from, suspended


async def _stream(
    client: httpx.AsyncClient, parameters: dict[str, str], context: AsyncIterator[bytes], log: Log
) -> str:
    headers = {"Content-Type": "application/x-tar"}
    async with client.stream("POST", "/build", params=parameters, content=context, headers=headers) as response:
        if response.is_error:
            words = await engine_streams.refusal(response)
            kind = TemporaryError if response.status_code >= SERVER_ERROR else OperatorError
            raise kind(f"the Docker Engine did not take the build: {words}")
        return await _follow(response, log)


async def _follow(response: httpx.Response, log: Log) -> str:
    progress = Progress()
    image = ""
    async for message in engine_streams.json_lines(response):
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


def _parameters(request: BuildRequest, build_id: str) -> dict[str, str]:
    parameters = {
        "version": "2",  # BuildKit
        "buildid": build_id,
        "t": request.tag,
        "dockerfile": request.dockerfile,
        "buildargs": json.dumps(dict(request.args)),
        "labels": json.dumps(dict(request.labels)),
        "rm": "1",
        "forcerm": "1",
    }
    optional = {
        "target": request.target,
        "platform": request.platform,
        "nocache": "1" if request.no_cache else None,
        "shmsize": str(request.shm_size) if request.shm_size else None,
    }
    return parameters | {name: value for name, value in optional.items() if value}


async def _cancel(client: httpx.AsyncClient, build_id: str) -> None:
    """Stop the build in the Engine, also while our own task is being cancelled. An Engine that is gone runs none."""
    call = asyncio.create_task(client.post("/build/cancel", params={"id": build_id}, timeout=CANCEL_SECONDS))
    while not call.done():
        with contextlib.suppress(asyncio.CancelledError, httpx.HTTPError):
            await asyncio.shield(call)


class _Status(IntEnum):
    """Fields of StatusResponse."""

    VERTICES = 1
    LOGS = 3
    WARNINGS = 4


class _Vertex(IntEnum):
    DIGEST = 1
    NAME = 3
    CACHED = 4
    STARTED = 5
    COMPLETED = 6
    ERROR = 7


class _Output(IntEnum):
    """Fields of VertexLog."""

    VERTEX = 1
    TEXT = 4


class _Warning(IntEnum):
    """Fields of VertexWarning."""

    VERTEX = 1
    SHORT = 3


class _Stamp(IntEnum):
    """Fields of google.protobuf.Timestamp."""

    SECONDS = 1
    NANOSECONDS = 2


@dataclass(slots=True)
class _Step:
    """One vertex of the build's graph: an instruction of the Dockerfile, or something that BuildKit does itself."""

    number: int
    name: str
    started: float
    ended: bool = False
    error: str = ""
    unfinished: bytes = b""
    """Output since the last line break."""
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))

    def line(self, text: str) -> str:
        return f"#{self.number} {text}"


class Progress:
    """Turns BuildKit's status messages into lines of a log, and knows afterwards what failed. Pure."""

    def __init__(self) -> None:
        self._steps: dict[str, _Step] = {}

    def read(self, message: bytes) -> list[str]:
        """The lines that one StatusResponse adds."""
        lines: list[str] = []
        status = _message(message)
        vertices = list(_submessages(status, _Status.VERTICES))
        for vertex in vertices:
            lines += self._start(vertex)
        for output in _submessages(status, _Status.LOGS):
            lines += self._print(output)
        for vertex in vertices:
            lines += self._end(vertex)
        for warning in _submessages(status, _Status.WARNINGS):
            lines += self._warn(warning)
        return lines

    def failure(self, error: str) -> BuildError | OperatorError:
        """What to say about a build that ended with this error: which instruction, why, and what it printed last."""
        failed = [step for step in self._steps.values() if step.error and "context canceled" not in step.error]
        reason = failed[-1].error if failed else error
        if any(sign in reason for sign in _ENGINES_FAULT):
            return OperatorError(f"the Docker Engine cannot build: {_plain(reason)}")
        if not failed:
            return BuildError(_plain(reason))
        return BuildError(_told(failed[-1]), _remedy(reason), tuple(failed[-1].tail))

    def _start(self, vertex: "_Fields") -> Iterator[str]:
        """BuildKit announces every step at once; a step gets its number when it starts, as readers expect."""
        digest = _text(vertex, _Vertex.DIGEST)
        if digest not in self._steps and _Vertex.STARTED in vertex:
            name = " ".join(_text(vertex, _Vertex.NAME).split())[:LINE_LENGTH]
            step = self._steps[digest] = _Step(len(self._steps) + 1, name, _time(vertex, _Vertex.STARTED))
            yield step.line(step.name)

    def _print(self, output: "_Fields") -> Iterator[str]:
        step = self._steps.get(_text(output, _Output.VERTEX))
        if step is None:
            return
        *complete, step.unfinished = (step.unfinished + _octets(output, _Output.TEXT)).split(b"\n")
        for text in complete:
            yield from self._output(step, text)
        if step.ended or len(step.unfinished) > LINE_LENGTH:
            yield from self._flush(step)

    def _flush(self, step: _Step) -> Iterator[str]:
        text, step.unfinished = step.unfinished, b""
        if text:
            yield from self._output(step, text)

    def _end(self, vertex: "_Fields") -> Iterator[str]:
        step = self._steps.get(_text(vertex, _Vertex.DIGEST))
        if step is None or step.ended or _Vertex.COMPLETED not in vertex:
            return
        step.ended = True
        step.error = _text(vertex, _Vertex.ERROR)
        yield from self._flush(step)
        if step.error:
            yield step.line(f"failed: {_plain(step.error)}")
        elif _number(vertex, _Vertex.CACHED):
            yield step.line("cached")
        else:
            yield step.line(f"done {_time(vertex, _Vertex.COMPLETED) - step.started:.1f}s")

    def _output(self, step: _Step, text: bytes) -> Iterator[str]:
        """A progress bar draws over its own line: what it ended with is what a reader would see."""
        shown = text.rstrip(b"\r").rpartition(b"\r")[2].decode(errors="replace")
        for start in range(0, max(len(shown), 1), LINE_LENGTH):
            part = shown[start : start + LINE_LENGTH]
            step.tail.append(part)
            yield step.line(part)

    def _warn(self, warning: "_Fields") -> Iterator[str]:
        step = self._steps.get(_text(warning, _Warning.VERTEX))
        if step is not None:
            yield step.line(f"warning: {_text(warning, _Warning.SHORT)}")


_ENGINES_FAULT = ("failed to create endpoint", "no space left on device", "cannot allocate memory")
_METADATA = "[internal] load metadata for "
_WRAPPING = re.compile(
    r"^(failed to solve[^:]*: )?(rpc error: code = \w+ desc = )?(failed to create LLB definition: )?"
)


def _told(step: _Step) -> str:
    """Say what failed as its author wrote it: without the number that BuildKit puts before an instruction."""
    if step.name.startswith(_METADATA):
        return f"the image {step.name.removeprefix(_METADATA)} cannot be had: {_plain(step.error)}"
    instruction = re.sub(r"^\[[^]]*\] ", "", step.name)
    return f"`{instruction}` failed: {_plain(step.error)}"


def _plain(error: str) -> str:
    """The part of a BuildKit error that its reader can act on."""
    code = re.search(r"exit code: (\d+)$", error)
    return f"exit code {code[1]}" if code else _WRAPPING.sub("", error)


def _remedy(error: str) -> str:
    if "no active sessions" in error:
        return "The registry of this image asks who we are: pull the image on the machine that runs previewd."
    if "dial tcp" in error:
        return "Check that the machine that runs previewd reaches the registry, or pull the image there beforehand."
    return ""


# Protobuf's wire format: each field is a key (number << 3 | type), then a varint, or a length and that many octets.

_Fields = dict[int, list[int | bytes]]


def _message(data: bytes) -> _Fields:
    """The fields of one message by number, repeated ones in order. Raises ValueError for what is not protobuf."""
    fields: _Fields = {}
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        value: int | bytes
        match key & 7:
            case 0:
                value, position = _varint(data, position)
            case 1:
                value, position = data[position : position + 8], position + 8
            case 2:
                length, position = _varint(data, position)
                value, position = data[position : position + length], position + length
            case 5:
                value, position = data[position : position + 4], position + 4
            case other:
                raise ValueError(f"no such wire type: {other}")
        if position > len(data):
            raise ValueError("a field ends after its message")
        fields.setdefault(key >> 3, []).append(value)
    return fields


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data):
            raise ValueError("a number ends after its message")
        octet = data[position]
        value |= (octet & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if not octet & 0x80:
            return value, position


def _submessages(fields: _Fields, number: int) -> Iterator[_Fields]:
    return (_message(value) for value in fields.get(number, []) if isinstance(value, bytes))


def _octets(fields: _Fields, number: int) -> bytes:
    value = fields.get(number, [b""])[-1]
    return value if isinstance(value, bytes) else b""


def _text(fields: _Fields, number: int) -> str:
    return _octets(fields, number).decode(errors="replace")


def _number(fields: _Fields, number: int) -> int:
    value = fields.get(number, [0])[-1]
    return value if isinstance(value, int) else 0


def _time(fields: _Fields, number: int) -> float:
    """A google.protobuf.Timestamp, in seconds since 1970."""
    stamp = next(_submessages(fields, number), {})
    return _number(stamp, _Stamp.SECONDS) + _number(stamp, _Stamp.NANOSECONDS) / 1e9
