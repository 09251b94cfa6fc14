"""A commit's files as pure code reads them: each once, not without end, and never by a thread that was given up."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import cast

import pytest

from orchestrator.codebase.contents import data_of
from orchestrator.ports.sources import Sources
from orchestrator.preview.errors import AuthorError, ComposeError, TemporaryError
from tests.support.wait import eventually
from worker.deployment import commit_files as module
from worker.deployment.commit_files import CommitFiles, commit_files

PATHS = ("a", "b", "c")


class Repository(Mapping[str, bytes]):
    """Files of ten bytes each, what was asked of them, and whether they are open."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.is_open = False

    def __getitem__(self, path: str) -> bytes:
        self.asked.append(path)
        if path not in PATHS:
            raise KeyError(path)
        return b"0123456789"

    def __contains__(self, path: object) -> bool:
        return path in PATHS

    def __iter__(self) -> Iterator[str]:
        return iter(PATHS)

    def __len__(self) -> int:
        return len(PATHS)

    async def files(self, _repository: int, _commit: str) -> AbstractAsyncContextManager[Mapping[str, bytes]]:
        return self._opened()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Mapping[str, bytes]]:
        self.is_open = True
        try:
            yield self
        finally:
            self.is_open = False


class Thread:
    """A question that goes on for as long as it may, and how it ended."""

    def __init__(self, look: Callable[[], object]) -> None:
        self._look = look
        self.has_begun = threading.Event()
        self.is_held = threading.Event()
        self.is_held.set()
        self.ended: list[type[BaseException]] = []

    def ask(self) -> None:
        self.has_begun.set()
        try:
            while True:
                self.is_held.wait(30)
                self._look()
        except BaseException as error:
            self.ended.append(type(error))
            raise

    async def has_ended(self) -> list[type[BaseException]]:
        return self.ended


def opened(repository: Repository) -> AbstractAsyncContextManager[CommitFiles]:
    return commit_files(cast("Sources", repository), 1, "a" * 40)


async def test_a_file_is_read_when_it_is_asked_for_and_once() -> None:
    repository = Repository()
    async with opened(repository) as files:
        assert await files.answer(lambda: (list(files), len(files))) == (["a", "b", "c"], 3)
        assert await files.answer(lambda: ("b" in files, "x" in files)) == (True, False)
        assert not repository.asked
        for _ in range(2):
            assert await files.answer(lambda: (files["b"], files.get("x"))) == (b"0123456789", None)
    assert repository.asked == ["b", "x", "x"]


async def test_it_is_read_in_a_thread() -> None:
    async with opened(Repository()) as files:
        assert await files.answer(threading.current_thread) is not threading.main_thread()


async def test_more_than_may_be_read_is_refused_and_code_is_read_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 25)
    async with opened(Repository()) as files:
        assert await files.answer(lambda: [files[path] for path in ("a", "b", "a")]) == [b"0123456789"] * 3
        with pytest.raises(ComposeError, match=r"^c: .* more than 25 bytes"):
            await files.answer(lambda: files["c"])
        assert await files.answer(lambda: (data_of(files, "b"), data_of(files, "c"))) == (b"0123456789", b"")


@pytest.mark.parametrize(
    "look",
    [
        lambda files: files["a"],
        lambda files: "x" in files,
        list,
        lambda files: data_of(files, "a"),
    ],
)
async def test_pure_code_that_looks_without_end_is_ended(
    look: Callable[[Mapping[str, bytes]], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_SECONDS", 0.05)
    async with opened(Repository()) as files:
        thread = Thread(lambda: look(files))
        with pytest.raises(AuthorError, match=r"takes longer than 0\.05 seconds"):
            await files.answer(thread.ask)
        assert await eventually(thread.has_ended, "the thread ends") == [TimeoutError]


async def test_a_thread_that_was_given_up_ends_at_its_next_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where another question is asked meanwhile, which finds nothing open any more."""
    monkeypatch.setattr(module, "MAX_SECONDS", 0.05)
    repository = Repository()
    async with opened(repository) as files:
        thread = Thread(lambda: files["a"])
        thread.is_held.clear()
        try:
            with pytest.raises(AuthorError, match="takes longer"):
                await files.answer(thread.ask)
            with pytest.raises(AuthorError, match="takes longer"):
                await files.answer(lambda: files["b"])
        finally:
            thread.is_held.set()
        assert await eventually(thread.has_ended, "the thread ends") == [TimeoutError]
    assert not repository.asked


async def test_the_thread_of_a_task_that_is_cancelled_ends() -> None:
    repository = Repository()
    threads: asyncio.Queue[Thread] = asyncio.Queue()

    async def read() -> None:
        async with opened(repository) as files:
            thread = Thread(lambda: files["a"])
            threads.put_nowait(thread)
            await files.answer(thread.ask)

    task = asyncio.create_task(read())
    thread = await threads.get()
    assert await asyncio.to_thread(thread.has_begun.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not repository.is_open
    assert await eventually(thread.has_ended, "the thread ends") == [TimeoutError]


async def test_nothing_is_read_once_it_is_closed() -> None:
    async with opened(Repository()) as files:
        assert await files.answer(lambda: files["a"])
    for look in (lambda: files["a"], lambda: "a" in files, lambda: list(files)):
        with pytest.raises(TimeoutError):
            look()


async def test_what_fails_beneath_comes_out_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that is not read fails no preview; a git that is gone fails this attempt."""

    def lost(*_: object) -> bytes:
        raise TemporaryError("git lost the object")

    monkeypatch.setattr(Repository, "__getitem__", lost)
    async with opened(Repository()) as files:
        with pytest.raises(TemporaryError):
            await files.answer(lambda: data_of(files, "a"))
