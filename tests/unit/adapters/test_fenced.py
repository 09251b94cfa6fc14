"""Every way of every adapter out of this process, under a fence that fell: no octet leaves it."""

import inspect
import io
import typing
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path
from typing import IO, Any

import pytest

from orchestrator.adapters.engine.engine import DockerEngine
from orchestrator.adapters.git.sources import GitSources
from orchestrator.adapters.postgres import PostgresDatabases
from orchestrator.adapters.postgres.clients import Clients
from orchestrator.databases.limits import DatabaseLimits
from orchestrator.ports.databases import Databases
from orchestrator.ports.engine import BuildRequest, Command, Engine, Log
from orchestrator.ports.sources import BuildContext, Sources
from orchestrator.preview.errors import LeaseLost
from orchestrator.preview.trust import Pull
from orchestrator.runtime import fence
from orchestrator.runtime.data_dir import remove_folder
from orchestrator.runtime.fence import Fence
from tests.support.context import MemoryContext
from tests.support.pulls import PULL
from tests.support.recording_engine import RecordingEngine, recording_engine


async def _said(_: str) -> None:
    """Nobody reads it."""


ARGUMENTS: dict[Any, Any] = {
    str: "x",
    int: 1,
    float: 1.0,
    IPv4Network: IPv4Network("10.213.0.0/28"),
    Mapping[str, str]: {},
    Mapping[str, Any]: {"Image": "x"},
    Sequence[str]: (),
    Collection[str]: (),
    Iterable[str]: (),
    tuple[str, ...]: ("CMD", "true"),
    int | None: 1,
    Log: _said,
    Command: Command(argv=("true",)),
    BuildRequest: BuildRequest(tag="x/y:z", dockerfile=b"FROM scratch\n"),
    BuildContext: MemoryContext({}),
    IO[bytes]: io.BytesIO(),
    Pull: PULL,
}
"""One for each type that a port asks for."""


ASKED_UNDER_NO_LEASE: dict[type, set[str]] = {Databases: {"ping"}, Sources: {"kept"}}
"""Questions that change nothing and are about no preview: whether a server is there, and what there is at all."""


def methods(port: type) -> list[str]:
    """What a port can be asked to do, less what only computes and what is asked under no lease."""
    asked = [name for name, of in vars(port).items() if not name.startswith("_") and not _is_plain(of)]
    return [name for name in asked if name not in ASKED_UNDER_NO_LEASE.get(port, ())]


def _is_plain(of: Any) -> bool:
    return not inspect.isfunction(of) or not (inspect.iscoroutinefunction(of) or inspect.isasyncgenfunction(of))


async def call(port: type, adapter: object, name: str) -> None:
    """Call a method with whatever arguments it needs."""
    method = getattr(port, name)
    types = typing.get_type_hints(method)
    needed = [p.name for p in inspect.signature(method).parameters.values() if p.default is p.empty][1:]
    answer = getattr(adapter, name)(**{needs: ARGUMENTS[types[needs]] for needs in needed})
    await (anext(answer) if hasattr(answer, "__anext__") else answer)


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[RecordingEngine]:
    with recording_engine(str(tmp_path / "engine.sock")) as server:
        yield server


@contextmanager
def fallen() -> Iterator[None]:
    with fence.under(Fence()):
        yield


@pytest.mark.parametrize("is_connected", [False, True])
@pytest.mark.parametrize("name", methods(Engine))
async def test_no_request_reaches_the_engine(recorder: RecordingEngine, name: str, *, is_connected: bool) -> None:
    engine = DockerEngine(recorder.url)
    try:
        if is_connected:
            await engine._call("connect", lambda api: api.version(api_version=False))
        before = list(recorder.requests)
        with fallen(), pytest.raises(LeaseLost):
            await call(Engine, engine, name)
        assert recorder.requests == before
    finally:
        await engine.close()


async def test_each_of_several_requests_of_one_call_asks(recorder: RecordingEngine) -> None:
    """Such as a network's containers, disconnected one by one."""
    engine = DockerEngine(recorder.url)
    held = Fence()
    held.extend(held.clock())

    def twice(api: Any) -> None:
        api.version(api_version=False)
        held.fall()
        api.version(api_version=False)

    try:
        await engine._call("connect", lambda api: api.api_version)
        before = len(recorder.requests)
        with fence.under(held), pytest.raises(LeaseLost):
            await engine._call("ask twice", twice)
        assert len(recorder.requests) == before + 1
    finally:
        await engine.close()


@pytest.mark.parametrize("name", methods(Databases))
async def test_nothing_is_sent_to_the_previews_postgres(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    databases = PostgresDatabases("postgresql://a:b@127.0.0.1:9/postgres", "127.0.0.1", "previewd", DatabaseLimits())

    async def connect(*_: Any, **__: Any) -> None:
        raise AssertionError("it was called")

    monkeypatch.setattr("asyncpg.connect", connect)
    with fallen(), pytest.raises(LeaseLost):
        await call(Databases, databases, name)
    with pytest.raises(AssertionError, match="it was called"):
        await call(Databases, databases, name)


async def test_no_client_program_is_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def program(*_: Any) -> Path:
        return tmp_path / "not-there"

    monkeypatch.setattr("orchestrator.adapters.postgres.clients.find_client", program)
    clients = Clients(host="127.0.0.1", port=9, database="d", role="r", password="p", major=18)
    script = tmp_path / "script.sql"
    script.write_text("SELECT 1")
    with (tmp_path / "dump").open("wb") as output:
        works: list[Callable[[], Awaitable[None]]] = [lambda: clients.dump(output), lambda: clients.restore(script)]
        for work in works:
            with fallen(), pytest.raises(LeaseLost):
                await work()
            with pytest.raises(FileNotFoundError):
                await work()


@pytest.mark.parametrize("name", methods(Sources))
async def test_no_git_is_started_and_no_file_is_touched(name: str, tmp_path: Path) -> None:
    root, target = tmp_path / "repositories", tmp_path / "repositories" / "x"
    with fallen(), pytest.raises(LeaseLost):
        await call(Sources, GitSources(root), name)
    assert not root.exists()
    assert not target.exists()


def test_a_folder_is_taken_away_under_the_fence_and_emptied_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Removing takes long: what the next owner puts there meanwhile stays."""
    folder = tmp_path / "812-7"
    (folder / "copies").mkdir(parents=True)
    (folder / "copies" / "old").touch()
    with fallen(), pytest.raises(LeaseLost):
        remove_folder(folder)
    assert (folder / "copies" / "old").exists()
    remove = _losing_the_lease(folder)
    monkeypatch.setattr("shutil.rmtree", remove)
    held = Fence()
    held.extend(held.clock())
    with fence.under(held):
        remove_folder(folder)
    assert [path.name for path in folder.rglob("*")] == ["new"]
    monkeypatch.undo()
    (tmp_path / ".812-7.gone-0").mkdir()  # what a killed worker left
    remove_folder(folder)
    assert list(tmp_path.iterdir()) == []


def _losing_the_lease(folder: Path) -> Callable[..., None]:
    import shutil  # noqa: PLC0415

    real = shutil.rmtree

    def remove(path: Path, **how: Any) -> None:
        current = fence.current()
        assert current is not None
        current.fall()
        folder.mkdir()
        (folder / "new").touch()
        real(path, **how)

    return remove


def test_only_what_is_there_is_removed(tmp_path: Path) -> None:
    (tmp_path / "812-70").mkdir()
    remove_folder(tmp_path / "812-7")
    assert [path.name for path in tmp_path.iterdir()] == ["812-70"]
