"""What BuildKit reports of a build, as lines of a log in the form of `docker build --progress=plain`. Pure.

It reports in protobuf (package moby.buildkit.v1, message StatusResponse): vertices, which are an instruction each or
something that BuildKit does itself, their output, and warnings.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from orchestrator.adapters.engine.buildkit import protobuf
from orchestrator.adapters.engine.buildkit.failure import Failed, failure, plain
from orchestrator.adapters.engine.buildkit.protobuf import Fields
from orchestrator.adapters.engine.buildkit.redaction import Redaction
from orchestrator.ports.engine import BuildRequest
from orchestrator.preview.errors import BuildError, OperatorError, Unavailable

TAIL_LINES = 30
LINE_LENGTH = 4096
"""A longer line of output is cut into several."""


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
    STREAM = 3
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
    """One vertex that has started."""

    number: int
    name: str
    started: float
    ended: bool = False
    error: str = ""
    unfinished: dict[int, bytes] = field(default_factory=dict)
    """Output since the last line break, by stream: what is printed to both at once comes in pieces of each."""
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))

    def line(self, text: str) -> str:
        return f"#{self.number} {text}"


class Progress:
    """Turns BuildKit's status messages into lines of a log, and knows afterwards what failed."""

    def __init__(self, request: BuildRequest, redact: Redaction) -> None:
        self._request = request
        self._redact = redact
        self._steps: dict[str, _Step] = {}

    def read(self, message: bytes) -> list[str]:
        """The lines that one StatusResponse adds. Raises ValueError for what is none."""
        lines: list[str] = []
        status = protobuf.decode(message)
        vertices = list(protobuf.messages(status, _Status.VERTICES))
        for vertex in vertices:
            lines += self._start(vertex)
        for output in protobuf.messages(status, _Status.LOGS):
            lines += self._print(output)
        for vertex in vertices:
            lines += self._end(vertex)
        for warning in protobuf.messages(status, _Status.WARNINGS):
            lines += self._warn(warning)
        return lines

    def failure(self, error: str) -> BuildError | OperatorError | Unavailable:
        """What to say about a build that ended with this error: which instruction, why, and what it printed last."""
        step = self._failed()
        if step is None:
            return failure(self._request, self._redact(error), None)
        return failure(self._request, step.error or self._redact(error), Failed(name=step.name, tail=tuple(step.tail)))

    def _failed(self) -> _Step | None:
        """Steps that were stopped by another's failure say `context canceled`. Some ends are never reported."""
        failed = [step for step in self._steps.values() if step.error and "context canceled" not in step.error]
        under_way = [step for step in self._steps.values() if not step.ended]
        return failed[-1] if failed else under_way[0] if len(under_way) == 1 else None

    def _start(self, vertex: Fields) -> Iterator[str]:
        """BuildKit announces every step at once; a step gets its number when it starts, as readers expect.

        One that seemed to be done, because another build had done it, may start once more.
        """
        if _Vertex.STARTED not in vertex:
            return
        digest, started = protobuf.text(vertex, _Vertex.DIGEST), _time(vertex, _Vertex.STARTED)
        step = self._steps.get(digest)
        if step is None:
            name = " ".join(self._redact(protobuf.text(vertex, _Vertex.NAME)).split())[:LINE_LENGTH]
            step = self._steps[digest] = _Step(len(self._steps) + 1, name, started)
            yield step.line(step.name)
        elif started > step.started:
            step.started, step.ended = started, False

    def _print(self, output: Fields) -> Iterator[str]:
        step = self._steps.get(protobuf.text(output, _Output.VERTEX))
        if step is None:
            return
        stream = protobuf.integer(output, _Output.STREAM)
        text = step.unfinished.pop(stream, b"") + protobuf.octets(output, _Output.TEXT)
        *complete, step.unfinished[stream] = text.split(b"\n")
        for line in complete:
            yield from self._output(step, line)
        if step.ended:
            yield from self._flush(step)
        elif len(step.unfinished[stream]) > LINE_LENGTH + self._redact.longest:
            yield from self._cut(step, stream)

    def _flush(self, step: _Step) -> Iterator[str]:
        unfinished, step.unfinished = step.unfinished, {}
        for text in filter(None, unfinished.values()):
            yield from self._output(step, text)

    def _cut(self, step: _Step, stream: int) -> Iterator[str]:
        """A line without end: what may be the start of a secret waits for its rest."""
        text = self._redact(step.unfinished[stream].decode(errors="replace"))
        kept = max(0, len(text) - self._redact.longest)
        step.unfinished[stream] = text[kept:].encode()
        yield from self._output(step, text[:kept].encode())

    def _end(self, vertex: Fields) -> Iterator[str]:
        step = self._steps.get(protobuf.text(vertex, _Vertex.DIGEST))
        if step is None or step.ended or _Vertex.COMPLETED not in vertex:
            return
        step.ended = True
        step.error = self._redact(protobuf.text(vertex, _Vertex.ERROR))
        yield from self._flush(step)
        if step.error:
            yield step.line(f"ERROR: {plain(step.error)}")
        elif protobuf.integer(vertex, _Vertex.CACHED):
            yield step.line("CACHED")
        else:
            yield step.line(f"DONE {_time(vertex, _Vertex.COMPLETED) - step.started:.1f}s")

    def _output(self, step: _Step, text: bytes) -> Iterator[str]:
        """A progress bar draws over its own line: what it ended with is what a reader would see."""
        shown = self._redact(text.rstrip(b"\r").rpartition(b"\r")[2].decode(errors="replace"))
        for start in range(0, max(len(shown), 1), LINE_LENGTH):
            part = shown[start : start + LINE_LENGTH]
            step.tail.append(part)
            yield step.line(part)

    def _warn(self, warning: Fields) -> Iterator[str]:
        step = self._steps.get(protobuf.text(warning, _Warning.VERTEX))
        if step is not None:
            yield step.line(f"WARN: {self._redact(protobuf.text(warning, _Warning.SHORT))}")


def _time(fields: Fields, number: int) -> float:
    """A google.protobuf.Timestamp, in seconds since 1970."""
    stamp = next(protobuf.messages(fields, number), {})
    return protobuf.integer(stamp, _Stamp.SECONDS) + protobuf.integer(stamp, _Stamp.NANOSECONDS) / 1e9
