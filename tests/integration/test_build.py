"""Builds by the real Engine's BuildKit: what they give, what they say, and that they stop."""

import asyncio
import gc
import io
import tarfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path

import pytest

from orchestrator.adapters.engine import DockerEngine
from orchestrator.adapters.git import GitSources
from orchestrator.errors import BuildError, OperatorError, TemporaryError
from orchestrator.policy import Pull
from orchestrator.ports import BuildRequest
from tests.support.docker import ENGINE_URL, answers, leaving_nothing, unique
from tests.support.git_remote import served
from tests.support.images import BASE_IMAGE
from tests.support.wait import eventually

pytestmark = pytest.mark.docker

Labels = dict[str, str]


@pytest.fixture
async def engine() -> AsyncIterator[DockerEngine]:
    engine = DockerEngine(ENGINE_URL)
    try:
        if not await answers(engine):
            pytest.skip(f"no Docker Engine answers at {ENGINE_URL}")
        yield engine
    finally:
        await engine.close()


@pytest.fixture
async def labels(engine: DockerEngine) -> AsyncIterator[Labels]:
    async with leaving_nothing(engine) as labels:
        yield labels


class Build:
    """One build, and what it said."""

    def __init__(self, engine: DockerEngine, labels: Labels) -> None:
        self.engine = engine
        self.labels = labels
        self.tag = f"previewd-test/{unique('build')}:1"
        self.lines: list[str] = []

    async def run(
        self, files: Mapping[str, str], *, target: str | None = None, args: Mapping[str, str] | None = None
    ) -> str:
        return await self.send(tar(files), target=target, args=args)

    async def send(
        self, context: AsyncIterator[bytes], *, target: str | None = None, args: Mapping[str, str] | None = None
    ) -> str:
        request = BuildRequest(
            tag=self.tag, dockerfile="Dockerfile", labels=self.labels, target=target, args=args or {}
        )
        return await self.engine.build(request, context, self.log)

    async def log(self, line: str) -> None:
        self.lines.append(line)

    async def said(self, text: str) -> bool:
        return any(text in line for line in self.lines)


@pytest.fixture
def build(engine: DockerEngine, labels: Labels) -> Build:
    return Build(engine, labels)


async def tar(files: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    yield data.getvalue()


async def printed_by(engine: DockerEngine, image: str, labels: Labels, *command: str) -> tuple[str, ...]:
    name = unique("c")
    host = {"NetworkMode": "none"}
    body = {"Image": image, "Cmd": list(command), "Labels": labels, "HostConfig": host}
    await engine.create_container(name, body)
    await engine.start(name)

    async def ended() -> bool:
        status = await engine.container(name)
        return status is not None and status.exit_code is not None

    await eventually(ended, f"{command} ended")
    return await engine.logs(name, 100)


async def test_an_image_with_its_label_port_and_healthcheck(build: Build) -> None:
    dockerfile = 'FROM scratch\nCOPY a /a\nEXPOSE 9000 53/udp 8000\nHEALTHCHECK CMD ["/a"]\n'
    made = await build.run({"Dockerfile": dockerfile, "a": "1"})
    image = await build.engine.image(build.tag)
    assert image is not None
    assert image.id == made
    assert image.exposed_ports == (8000, 9000)
    assert image.healthcheck == ("CMD", "/a")
    assert [(o.kind, o.id, o.name) for o in await build.engine.objects(build.labels)] == [("image", made, build.tag)]


async def test_only_the_stages_that_the_target_needs_are_built(build: Build) -> None:
    dockerfile = f"""
        FROM {BASE_IMAGE} AS base
        ARG WHO
        RUN echo "hello $WHO" > /greeting
        FROM base AS unused
        RUN false
        FROM base AS wanted
        CMD ["cat", "/greeting"]
        FROM unused
    """
    who = unique("who")
    image = await build.run({"Dockerfile": dockerfile}, target="wanted", args={"WHO": who})
    assert await printed_by(build.engine, image, build.labels) == (f"hello {who}",)
    assert not await build.said("RUN false")


async def test_a_cache_mount_lives_from_build_to_build(engine: DockerEngine, labels: Labels) -> None:
    cache = unique("cache")

    def dockerfile(mark: str) -> dict[str, str]:
        run = f"RUN --mount=type=cache,id={cache},target=/cache echo {mark} >> /cache/marks && cat /cache/marks"
        return {"Dockerfile": f"FROM {BASE_IMAGE}\n{run}\n"}

    first, second = Build(engine, labels), Build(engine, labels)
    await first.run(dockerfile("one"))
    await second.run(dockerfile("two"))
    assert [line.partition(" ")[2] for line in second.lines if line.endswith((" one", " two"))] == ["one", "two"]


async def test_a_step_that_was_done_before_is_cached(engine: DockerEngine, labels: Labels) -> None:
    files = {"Dockerfile": f"FROM {BASE_IMAGE}\nRUN echo {unique('x')}\n"}
    first, second = Build(engine, labels), Build(engine, labels)
    await first.run(files)
    assert not await second.said("cached")
    await second.run(files)
    number = next(line.split()[0] for line in second.lines if "RUN echo" in line)
    assert f"{number} cached" in second.lines


async def test_an_image_goes_with_all_of_its_names(engine: DockerEngine, labels: Labels) -> None:
    files = {"Dockerfile": "FROM scratch\nCOPY a /\n", "a": unique("a")}
    first, second = Build(engine, labels), Build(engine, labels)
    image = await first.run(files)
    assert await second.run(files) == image, "the same content under a second name"
    await engine.remove_image(first.tag)
    assert await engine.image(second.tag) is not None
    await first.run(files)
    await engine.remove_image(image)
    assert await engine.image(first.tag) is None
    assert await engine.image(second.tag) is None


async def test_lines_come_while_the_build_goes_on(build: Build) -> None:
    mark = unique("mark")
    seen: dict[str, float] = {}
    dockerfile = f"FROM {BASE_IMAGE}\nRUN echo {mark}-first; sleep 2; echo {mark}-second\n"

    async def log(line: str) -> None:
        seen[line.partition(" ")[2]] = time.monotonic()

    request = BuildRequest(tag=build.tag, dockerfile="Dockerfile", labels=build.labels)
    await build.engine.build(request, tar({"Dockerfile": dockerfile}), log)
    assert seen[f"{mark}-second"] - seen[f"{mark}-first"] > 1


async def test_a_failing_step_is_named_with_its_last_lines(build: Build) -> None:
    dockerfile = f"FROM {BASE_IMAGE}\nRUN echo one; echo two >&2; exit 7\n"
    with pytest.raises(BuildError) as raised:
        await build.run({"Dockerfile": dockerfile})
    assert raised.value.message == "`RUN echo one; echo two >&2; exit 7` failed: exit code 7"
    assert sorted(raised.value.log_tail) == ["one", "two"]
    assert await build.engine.image(build.tag) is None


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"Dockerfile": "FROM scratch\nFOO bar\n"}, "unknown instruction: FOO"),
        ({"Dockerfile": "FROM scratch\nCOPY none /x\n"}, "`COPY none /x` failed"),
        ({"Dockerfile": ""}, "empty"),
        ({"other": "x"}, "Dockerfile"),
        ({"Dockerfile": "FROM 127.0.0.1:9/none:1\n"}, "the image 127.0.0.1:9/none:1 cannot be had"),
        ({"Dockerfile": "FROM scratch AS a\nCOPY --from=b / /\n"}, "b"),
    ],
)
async def test_a_dockerfile_that_cannot_be_built(build: Build, files: dict[str, str], message: str) -> None:
    with pytest.raises(BuildError) as raised:
        await build.run(files)
    assert message in raised.value.message
    assert "rpc error" not in raised.value.message


async def test_a_target_that_does_not_exist(build: Build) -> None:
    with pytest.raises(BuildError, match="nowhere"):
        await build.run({"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"}, target="nowhere")


async def test_a_cancelled_build_stops_in_the_engine(build: Build) -> None:
    mark = unique("mark")
    dockerfile = f"FROM {BASE_IMAGE}\nRUN echo {mark}; sleep 3333; true\n"
    task = asyncio.create_task(build.run({"Dockerfile": dockerfile}))

    async def running() -> bool:
        return bool(_sleepers(mark))

    await eventually(running, "the step runs")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async def stopped() -> bool:
        return not _sleepers(mark)

    await eventually(stopped, "the step is gone", seconds=5)
    assert await build.engine.image(build.tag) is None
    assert await build.engine.objects(build.labels) == []


def _sleepers(mark: str) -> list[Path]:
    """Processes of the step, which are processes of this machine when the Engine runs on it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if f"echo {mark}; sleep".encode() in path.read_bytes():
                found.append(path)
        except OSError:
            continue  # it ended meanwhile
    return found


async def test_a_log_that_fails_ends_the_build(build: Build) -> None:
    mark = unique("mark")

    async def log(line: str) -> None:
        if line.endswith(f" {mark}"):
            raise RuntimeError("the lease is lost")

    request = BuildRequest(tag=build.tag, dockerfile="Dockerfile", labels=build.labels)
    dockerfile = f"FROM {BASE_IMAGE}\nRUN echo {mark}; sleep 3333; true\n"
    with pytest.raises(RuntimeError, match="lease"):
        await build.engine.build(request, tar({"Dockerfile": dockerfile}), log)

    async def stopped() -> bool:
        return not _sleepers(mark)

    await eventually(stopped, "the step is gone", seconds=5)


async def test_a_context_that_fails_ends_the_build_and_is_closed(build: Build) -> None:
    closed = asyncio.Event()

    async def context() -> AsyncGenerator[bytes, None]:
        try:
            yield bytes(512)
            raise BuildError("the context cannot be packed")
        finally:
            closed.set()

    with pytest.raises(BuildError, match="cannot be packed"):
        await build.send(context())
    assert closed.is_set()
    assert await build.engine.image(build.tag) is None


async def test_the_context_of_a_commit(engine: DockerEngine, build: Build, tmp_path: Path) -> None:
    """From a repository's objects to what `COPY . .` finds."""
    find = "import os; print(*sorted(os.path.join(d, f) for d, _, fs in os.walk('/src') for f in fs), sep='\\n')"
    tree = {
        "api/Dockerfile": f"FROM {BASE_IMAGE}\nCOPY . /src\n".encode(),
        "api/.dockerignore": b"**/*.md\n!README.md\nnode_modules\n",
        "api/README.md": b"1",
        "api/docs/a.md": b"1",
        "api/app/main.py": b"1",
        "api/node_modules/x.js": b"1",
        "outside": b"1",
    }
    with served(tmp_path / "remote") as remote:
        commit = remote.commit(tree)
        sources = GitSources(tmp_path / "sources")
        await sources.fetch(_pull(remote.url, commit), "")
    image = await build.send(sources.context(1, commit, "api", "Dockerfile"))
    found = await printed_by(engine, image, build.labels, "python3", "-c", find)
    expected = [".dockerignore", "Dockerfile", "README.md", "app/main.py"]
    assert list(found) == [f"/src/{path}" for path in expected]


def _pull(url: str, commit: str) -> Pull:
    return Pull(
        repository=1,
        repository_name="acme/app",
        clone_url=url,
        number=7,
        open=True,
        draft=False,
        title="t",
        author="ann",
        author_is_bot=False,
        head_commit=commit,
        head_branch="b",
        head_repository=1,
        base_branch="main",
    )


# An Engine that misbehaves


class BadEngine:
    """Answers `/version`, and `/build` with whatever octets a test gives; keeps what else it was asked."""

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
        elif "/build?" in path:
            while not (await reader.readuntil(b"\r\n")).startswith(b"0\r\n"):
                pass
            writer.write(self.answer)
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (b'HTTP/1.1 500 X\r\nContent-Length: 22\r\n\r\n{"message":"disk gone"}', TemporaryError, "disk gone"),
        (b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n", TemporaryError, "HTTP 503"),
        (b'HTTP/1.1 400 X\r\nContent-Length: 18\r\n\r\n{"message":"what"}', OperatorError, "what"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", TemporaryError, "without an image"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}\n{}", TemporaryError, "broke"),
        (b"", TemporaryError, "broke"),
    ],
)
async def test_an_engine_that_breaks_off(tmp_path: Path, answer: bytes, kind: type[Exception], message: str) -> None:
    bad = BadEngine(answer.replace(b"Length: 22", b"Length: 23"))
    server = await asyncio.start_unix_server(bad.serve, tmp_path / "engine.sock")
    engine = DockerEngine(f"unix://{tmp_path}/engine.sock")

    async def log(line: str) -> None:
        """Nobody reads it."""

    async with server:
        with pytest.raises(kind, match=message):
            await engine.build(BuildRequest(tag="t", dockerfile="Dockerfile"), tar({"Dockerfile": ""}), log)
    await engine.close()
    assert any("/build/cancel?" in path for path in bad.asked)


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # the SDK forgets it when connecting fails
async def test_an_engine_that_is_not_there(tmp_path: Path) -> None:
    engine = DockerEngine(f"unix://{tmp_path}/none.sock")
    with pytest.raises(TemporaryError, match="does not answer"):
        await engine.gateway()
    await engine.close()
    gc.collect()
