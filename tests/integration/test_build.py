"""Builds by the real Engine's BuildKit: what they give, what they say, and that they stop."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapters.engine.engine import DockerEngine
from orchestrator.adapters.git.sources import GitSources
from orchestrator.ports.engine import BuildRequest
from orchestrator.ports.sources import BuildContext, ContextEntry
from orchestrator.preview.errors import BuildError, TemporaryError
from orchestrator.preview.trust import Pull
from tests.integration.dockerfiles import BASE, BUILDS, FAULTS, LIST, SECRET, Case, Fault
from tests.support.context import MemoryContext, Zeros
from tests.support.docker import ENGINE_URL, answers, leaving_nothing, unique
from tests.support.engine import forget_contexts_of
from tests.support.git_remote import served
from tests.support.images import BASE_IMAGE
from tests.support.wait import eventually

pytestmark = pytest.mark.docker

LARGE = (256 << 20) + 4097
"""A size that no other context has."""
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

    def __init__(self, engine: DockerEngine, labels: Labels, tag: str = "") -> None:
        self.engine = engine
        self.labels = labels
        self.tag = tag or f"previewd-test/{unique('build')}:1"
        self.lines: list[str] = []

    async def run(self, dockerfile: str, context: BuildContext | None = None, **more: Any) -> str:
        request = BuildRequest(tag=self.tag, dockerfile=dockerfile.encode(), labels=self.labels, **more)
        return await self.engine.build(request, context or MemoryContext(), self.log)

    async def log(self, line: str) -> None:
        self.lines.append(line)

    def said(self, text: str) -> bool:
        return any(text in line for line in self.lines)

    @property
    def printed(self) -> list[str]:
        """Without the numbers of the steps."""
        return [line.partition(" ")[2] for line in self.lines]

    def cached(self, instruction: str) -> bool:
        number = next(line.split()[0] for line in self.lines if instruction in line)
        return f"{number} CACHED" in self.lines


@pytest.fixture
def build(engine: DockerEngine, labels: Labels) -> Build:
    return Build(engine, labels)


# What builds, and what does not


@pytest.mark.parametrize("case", BUILDS.values(), ids=BUILDS)
async def test_it_builds(build: Build, case: Case) -> None:
    await build.run(case.dockerfile, MemoryContext(case.files), no_cache=True, **case.more)
    assert set(case.prints) <= {line.strip() for line in build.printed}, build.lines
    assert not build.said(case.never)
    assert await build.engine.image(build.tag) is not None


async def test_a_large_file(build: Build) -> None:
    dockerfile = f"{BASE}RUN --mount=type=bind,target=/c stat -c %s /c/big\n"
    try:
        await build.run(dockerfile, MemoryContext({"big": Zeros(LARGE)}), no_cache=True)
    finally:
        forget_contexts_of(LARGE)
    assert str(LARGE) in build.printed


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_it_does_not_build(build: Build, fault: Fault) -> None:
    with pytest.raises(BuildError) as raised:
        await build.run(fault.dockerfile, MemoryContext({"a": "1"}), dockerfile_name="api/Dockerfile", **fault.more)
    error = raised.value
    said = "\n".join((error.message, error.remedy, *error.log_tail))
    assert all(text in said for text in fault.says), said
    assert "rpc error" not in said
    assert error.message.startswith(f"api/Dockerfile:{fault.line}: ") or not fault.line, error.message
    assert await build.engine.image(build.tag) is None


async def test_a_heredoc_where_the_frontend_is_old(build: Build) -> None:
    """What builds where it is new; the Engine's API tells which."""
    dockerfile = f"{BASE}\nRUN <<EOF\necho in a heredoc\nEOF\n"
    refused: BuildError | None = None
    try:
        await build.run(dockerfile, no_cache=True)
    except BuildError as error:
        refused = error
    if refused is None:
        assert "in a heredoc" in build.printed
        return
    assert refused.message == "Dockerfile:4: unknown instruction: ECHO"
    assert "version 23 or newer" in refused.remedy
    assert "# syntax=" in refused.remedy


# What it gives and says


async def test_an_image_with_its_label_port_and_healthcheck(build: Build) -> None:
    dockerfile = 'FROM scratch\nCOPY a /a\nEXPOSE 9000 53/udp 8000\nHEALTHCHECK CMD ["/a"]\n'
    made = await build.run(dockerfile, MemoryContext({"a": "1"}))
    image = await build.engine.image(build.tag)
    assert image is not None
    assert image.id == made
    assert image.exposed_ports == (8000, 9000)
    assert image.healthcheck == ("CMD", "/a")
    assert [(o.kind, o.id, o.name) for o in await build.engine.objects(build.labels)] == [("image", made, build.tag)]


async def test_an_image_goes_with_all_of_its_names(engine: DockerEngine, labels: Labels) -> None:
    dockerfile, context = "FROM scratch\nCOPY a /\n", MemoryContext({"a": unique("a")})
    first, second = Build(engine, labels), Build(engine, labels)
    image = await first.run(dockerfile, context)
    assert await second.run(dockerfile, context) == image, "the same content under a second name"
    await engine.remove_image(first.tag)
    assert await engine.image(second.tag) is not None
    await first.run(dockerfile, context)
    await engine.remove_image(image)
    assert await engine.image(first.tag) is None
    assert await engine.image(second.tag) is None


async def test_a_cache_mount_lives_from_build_to_build(engine: DockerEngine, labels: Labels) -> None:
    cache = unique("cache")
    first, second = Build(engine, labels), Build(engine, labels)
    for one, mark in ((first, "one"), (second, "two")):
        run = f"RUN --mount=type=cache,id={cache},target=/cache echo {mark} >> /cache/marks && cat /cache/marks"
        await one.run(f"{BASE}{run}\n")
    assert [line for line in second.printed if line in {"one", "two"}] == ["one", "two"]


async def test_what_was_done_before_is_cached(engine: DockerEngine, labels: Labels) -> None:
    dockerfile = f"{BASE}COPY . /src\nRUN echo {unique('x')}\n"
    first, second, third = (Build(engine, labels) for _ in range(3))
    image = await first.run(dockerfile, MemoryContext({"a": "1", "d/b": "2"}))
    assert not first.cached("RUN echo")
    assert await second.run(dockerfile, MemoryContext({"a": "1", "d/b": "2"})) == image
    assert second.cached("COPY . /src")
    assert second.cached("RUN echo")
    await third.run(dockerfile, MemoryContext({"a": "1", "d/b": "2"}), no_cache=True)
    assert not third.cached("RUN echo")


async def test_only_changed_files_are_sent_again(engine: DockerEngine, labels: Labels) -> None:
    """Builds of one service have one name and several tags. Size and time would say that nothing changed."""
    name, run = f"previewd-test/{unique('build')}", "RUN cat /src/changed"
    before = MemoryContext({"same": "1", "changed": "old\n", "gone": "3"})
    after = MemoryContext({"same": "1", "changed": "new\n", "added": "4"})
    await Build(engine, labels, f"{name}:1").run(f"{BASE}COPY . /src\n{run}\n", before)
    assert sorted(before.read) == ["changed", "gone", "same"]
    second = Build(engine, labels, f"{name}:2")
    await second.run(f"{BASE}COPY . /src\n{LIST}\n{run}\n", after, no_cache=True)
    assert sorted(after.read) == ["added", "changed"]
    assert {"new", "/src/added /src/changed /src/same"} <= set(second.printed)


async def test_what_is_not_copied_is_not_sent(build: Build) -> None:
    context = MemoryContext({"big": Zeros(1 << 40), "d/small": "1", "d/s/x": "2"})
    await build.run("FROM scratch\nCOPY d /d\n", context)
    assert sorted(context.read) == ["d/s/x", "d/small"]


async def test_two_side_by_side_have_a_session_each(engine: DockerEngine, labels: Labels) -> None:
    builds = {who: Build(engine, labels) for who in ("ann", "bob", "cid")}
    run = "RUN --mount=type=secret,id=who cat /files/who /run/secrets/who | tr a-z A-Z"
    await asyncio.gather(
        *(
            build.run(
                f"{BASE}COPY . /files\n{run}\n",
                MemoryContext({"who": who}),
                secrets={"who": who.encode()},
                no_cache=True,
            )
            for who, build in builds.items()
        )
    )
    for who, build in builds.items():
        assert who.upper() * 2 in build.printed


async def test_secrets_are_in_no_line(build: Build) -> None:
    dockerfile = f"""{BASE}RUN --mount=type=secret,id=word cd /run/secrets; cat word; echo; base64 word; \\
        printf 'user:%s' "$(cat word)" | base64; cut -c1-9 word | tr -d '\\n'; sleep 0.3; cut -c10- word; exit 3
    """
    with pytest.raises(BuildError) as raised:
        await build.run(dockerfile, secrets={"word": SECRET.encode()})
    said = "\n".join((*build.lines, raised.value.message, *raised.value.log_tail))
    assert SECRET not in said
    assert "Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5"[:-3] not in said
    assert sum(line.count("[hidden]") for line in build.lines) >= 4, build.lines


async def test_lines_come_while_the_build_goes_on(build: Build) -> None:
    mark = unique("mark")
    seen: dict[str, float] = {}

    async def log(line: str) -> None:
        seen[line.partition(" ")[2]] = time.monotonic()

    request = BuildRequest(
        tag=build.tag,
        dockerfile=f"{BASE}RUN echo {mark}-first; sleep 2; echo {mark}-second\n".encode(),
        labels=build.labels,
    )
    await build.engine.build(request, MemoryContext(), log)
    assert seen[f"{mark}-second"] - seen[f"{mark}-first"] > 1


# What stops it


def sleeping(mark: str) -> str:
    return f"{BASE}RUN echo {mark}; sleep 3333; true\n"


async def runs(mark: str) -> bool:
    return await asyncio.to_thread(has_process, mark)


def has_process(mark: str) -> bool:
    """Whether the step runs: its processes are processes of this machine when the Engine runs on it."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if f"echo {mark}; sleep".encode() in path.read_bytes():
                return True
        except OSError:
            continue  # it ended meanwhile
    return False


async def stopped(mark: str) -> None:
    async def ended() -> bool:
        return not await runs(mark)

    await eventually(ended, "the step is gone", seconds=2)


async def test_a_cancelled_build_stops_in_the_engine(build: Build) -> None:
    mark = unique("mark")
    task = asyncio.create_task(build.run(sleeping(mark)))
    await eventually(lambda: runs(mark), "the step runs")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await stopped(mark)
    assert await build.engine.image(build.tag) is None
    assert await build.engine.objects(build.labels) == []


async def test_a_build_that_is_cancelled_while_it_is_sent(build: Build) -> None:
    sending = asyncio.Event()

    class Endless(MemoryContext):
        async def _chunks(self, entry: ContextEntry) -> AsyncIterator[bytes]:  # noqa: ARG002 - one file is all it has
            sending.set()
            while True:
                yield bytes(1 << 16)
                await asyncio.sleep(0)

    task = asyncio.create_task(build.run("FROM scratch\nCOPY . /\n", Endless({"a": Zeros(1 << 40)})))
    await sending.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await build.engine.objects(build.labels) == []


async def test_a_log_that_fails_ends_the_build(build: Build) -> None:
    mark = unique("mark")

    async def log(line: str) -> None:
        if line.endswith(f" {mark}"):
            raise RuntimeError("the lease is lost")

    request = BuildRequest(tag=build.tag, dockerfile=sleeping(mark).encode(), labels=build.labels)
    with pytest.raises(RuntimeError, match="lease"):
        await build.engine.build(request, MemoryContext(), log)
    await stopped(mark)


async def test_a_context_that_fails_ends_the_build_and_is_closed(build: Build) -> None:
    closed = asyncio.Event()

    class Broken(MemoryContext):
        @asynccontextmanager
        async def reading(self) -> AsyncIterator[Callable[[ContextEntry], AsyncIterator[bytes]]]:
            async def read(entry: ContextEntry) -> AsyncIterator[bytes]:
                yield b"1"
                raise TemporaryError("the repository is gone")

            try:
                yield read
            finally:
                closed.set()

    with pytest.raises(TemporaryError, match="the repository is gone"):
        await build.run("FROM scratch\nCOPY . /\n", Broken({"a": "12"}))
    assert closed.is_set()
    assert await build.engine.image(build.tag) is None


async def test_the_context_of_a_commit(build: Build, tmp_path: Path) -> None:
    """From a repository's objects to what `COPY . .` finds."""
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
        context = await sources.context(1, commit, "api", "Dockerfile")
        await build.run(f"{BASE}COPY . /src\n{LIST}\n", context, no_cache=True)
    files = ("/.dockerignore", "/Dockerfile", "/README.md", "/app", "/app/main.py", "/docs")
    assert " ".join(f"/src{path}" for path in files) in build.printed


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
