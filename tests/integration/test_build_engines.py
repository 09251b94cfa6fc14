"""Builds by Engines that misbehave, that are not there, and that have no BuildKit."""

import asyncio
import gc
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapters.engine.engine import DockerEngine
from orchestrator.ports.engine import BuildRequest
from orchestrator.preview.errors import BuildError, OperatorError, TemporaryError
from tests.support.context import Content, Folder, Link, MemoryContext, Program
from tests.support.docker import ENGINE_URL, answers, leaving_nothing, unique
from tests.support.images import BASE_IMAGE

BASE = f"FROM {BASE_IMAGE}\n"


async def unread(line: str) -> None:
    """Nobody reads it."""


# An Engine that misbehaves


class BadEngine:
    """Opens a session that says nothing, and answers a build with the octets that a test gives; keeps what is asked."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = request.split()[1]
        self.asked.append(path)
        if path.endswith("/version"):
            body = b'{"ApiVersion": "1.41"}'
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        elif path.endswith("/session"):
            writer.write(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
            await reader.read()
        elif "/build?" in path:
            writer.write(self.answer)
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (b'HTTP/1.1 500 X\r\nContent-Length: 23\r\n\r\n{"message":"disk gone"}', TemporaryError, "disk gone"),
        (b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n", TemporaryError, "HTTP 503"),
        (b'HTTP/1.1 400 X\r\nContent-Length: 18\r\n\r\n{"message":"what"}', OperatorError, "what"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", TemporaryError, "without an image"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}\n{}", TemporaryError, "broke"),
        (b"", TemporaryError, "broke"),
    ],
)
async def test_an_engine_that_breaks_off(tmp_path: Path, answer: bytes, kind: type[Exception], message: str) -> None:
    bad = BadEngine(answer)
    server = await asyncio.start_unix_server(bad.serve, tmp_path / "engine.sock")
    engine = DockerEngine(f"unix://{tmp_path}/engine.sock")
    async with server:
        with pytest.raises(kind, match=message):
            await engine.build(BuildRequest(tag="t", dockerfile=b"FROM scratch"), MemoryContext(), unread)
    await engine.close()
    assert any("/build/cancel?" in path for path in bad.asked)


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # the SDK forgets it when connecting fails
async def test_an_engine_that_is_not_there(tmp_path: Path) -> None:
    engine = DockerEngine(f"unix://{tmp_path}/none.sock")
    with pytest.raises(TemporaryError, match="does not answer"):
        await engine.gateway()
    await engine.close()
    gc.collect()


# An Engine without BuildKit


@pytest.fixture
async def real() -> AsyncIterator[DockerEngine]:
    engine = DockerEngine(ENGINE_URL)
    try:
        if not await answers(engine):
            pytest.skip(f"no Docker Engine answers at {ENGINE_URL}")
        yield engine
    finally:
        await engine.close()


@asynccontextmanager
async def without_sessions(path: Path) -> AsyncIterator[DockerEngine]:
    """The real Engine, less what BuildKit needs: a door in front of it that knows no `/session`."""
    target = ENGINE_URL.removeprefix("unix://")

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(1 << 16):
                sink.write(data)
                await sink.drain()
        except OSError:
            return
        finally:
            sink.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/session " in head:
            writer.write(
                b'HTTP/1.1 404 X\r\nConnection: close\r\nContent-Length: 28\r\n\r\n{"message":"page not found"}'
            )
            writer.close()
            return
        inside, outside = await asyncio.open_unix_connection(target)
        outside.write(
            re.sub(rb"(?i)\r\nconnection: [^\r]*", b"", head).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        )
        await asyncio.gather(copy(reader, outside), copy(inside, writer))

    server = await asyncio.start_unix_server(serve, path)
    engine = DockerEngine(f"unix://{path}")
    try:
        yield engine
    finally:
        await engine.close()
        server.close()


class Classic:
    """Builds by such an Engine, and what they said."""

    def __init__(self, engine: DockerEngine, labels: dict[str, str]) -> None:
        self.engine = engine
        self.labels = labels
        self.tag = f"previewd-test/{unique('classic')}:1"
        self.lines: list[str] = []

    async def log(self, line: str) -> None:
        self.lines.append(line)

    async def run(self, dockerfile: str, files: Mapping[str, Content] | None = None, **more: Any) -> str:
        request = BuildRequest(tag=self.tag, dockerfile=dockerfile.encode(), labels=self.labels, **more)
        return await self.engine.build(request, MemoryContext(files), self.log)


@pytest.fixture
async def classic(real: DockerEngine, tmp_path: Path) -> AsyncIterator[Classic]:
    if not ENGINE_URL.startswith("unix://"):
        pytest.skip("the Engine is not reached by a socket")
    async with leaving_nothing(real) as labels, without_sessions(tmp_path / "engine.sock") as engine:
        yield Classic(engine, labels)


@pytest.mark.docker
async def test_the_classic_builder_is_used_and_named(classic: Classic) -> None:
    tree: dict[str, Content] = {"a": "1", "d/b": Program("2"), "l": Link("a"), "e": Folder(), "n" * 120: "3"}
    show = "RUN cd /src && find . | sort && readlink l && stat -c %a d/b"
    image = await classic.run(f"{BASE}COPY . /src\n{show}\nRUN echo {unique('x')}\n", tree, no_cache=True)
    assert any("has no BuildKit" in line for line in classic.lines)
    paths = [line for line in classic.lines if line.startswith(".")]
    assert paths == sorted([".", "./a", "./d", "./d/b", "./e", "./l", f"./{'n' * 120}"])
    assert {"a", "755"} <= set(classic.lines)
    found = await classic.engine.image(classic.tag)
    assert found is not None
    assert found.id == image


@pytest.mark.docker
async def test_the_classic_builder_names_what_failed(classic: Classic) -> None:
    with pytest.raises(BuildError) as raised:
        await classic.run(f"{BASE}\n# why\nRUN echo one; exit 7\n")
    assert raised.value.message == "Dockerfile:4: `RUN echo one; exit 7` failed: exit code 7"
    assert "one" in raised.value.log_tail


@pytest.mark.docker
@pytest.mark.parametrize(
    ("dockerfile", "more", "message"),
    [
        (f"{BASE}RUN --mount=type=cache,target=/c true\n", {}, "Dockerfile:2: .* `--mount` needs it"),
        (f"{BASE}RUN <<EOF\ntrue\nEOF\n", {}, "Dockerfile:2: .* heredoc needs it"),
        (BASE, {"secrets": {"a": b"b"}}, "secrets of a build need it"),
    ],
)
async def test_what_only_buildkit_can_do_is_refused(
    classic: Classic, dockerfile: str, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(BuildError, match=message) as raised:
        await classic.run(dockerfile, **more)
    assert "BuildKit" in raised.value.remedy
