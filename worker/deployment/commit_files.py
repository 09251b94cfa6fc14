"""The files of a commit, fetched as pure code asks for them: neither language nor recognition does any I/O."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import TypeVar

from orchestrator.codebase.files import code_files
from orchestrator.compose.project.named_files import named_files
from orchestrator.ports.sources import Sources
from orchestrator.preview.errors import AuthorError

MAX_SECONDS = 10.0
"""For one reading. The language bounds its own work far below: this only keeps a worker from waiting without end."""

MAX_ROUNDS = 40
"""Readings until every file is there: as many as files may name each other in a row, and a few more."""

MAX_CODE_BYTES = 32 * 1024 * 1024
"""Of a repository's code that is read. What is beyond it is as if it were not there."""

_BATCH = 32

_Answer = TypeVar("_Answer")


class NotRead(Exception):
    """A file of the repository is needed that was not read yet."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class RepositoryFiles(Mapping[str, bytes]):
    """A commit's files as pure code takes them; raises NotRead for contents that nobody fetched yet."""

    def __init__(self, sources: Sources, repository: int, commit: str, paths: Iterable[str]) -> None:
        self._sources = sources
        self._repository = repository
        self._commit = commit
        self._paths = dict.fromkeys(paths)
        self._contents: dict[str, bytes] = {}
        self._room = MAX_CODE_BYTES

    @classmethod
    async def of(cls, sources: Sources, repository: int, commit: str) -> "RepositoryFiles":
        """The files of a commit that was fetched before."""
        return cls(sources, repository, commit, await sources.paths(repository, commit))

    async def answer(self, question: Callable[[], _Answer]) -> _Answer:
        """What `question` returns, once every file that it asks for is there.

        Reading is pure and quick: it is simply done again with the file that it asked for, and with all that are named
        so far. In a thread, because a hostile repository may take seconds, in which the lease must be renewed.
        """
        for _ in range(MAX_ROUNDS):
            try:
                return await _in_thread(question)
            except NotRead as missing:
                asked = missing.path
            await self._fetch_with(asked)
        raise AuthorError(
            f"the files that the Compose file needs name one another in more than {MAX_ROUNDS} steps",
            "name them in the Compose file itself, without variables in their names",
        )

    async def fetch_all(self, paths: Collection[str]) -> None:
        """Fetch these at once. A file that is too large to be read counts as empty."""
        if paths:
            contents = await self._sources.read(self._repository, self._commit, paths)
            self._contents.update({path: contents.get(path, b"") for path in paths})

    async def _fetch_with(self, asked: str) -> None:
        """Fetch a file, and in batches what will be asked for next: of the code all, of other files what they name."""
        code = self._code_with(asked)
        if not code:
            await self._fetch({asked, *await _in_thread(lambda: named_files(self, self._contents))})
        for start in range(0, len(code), _BATCH):
            batch = frozenset(code[start : start + _BATCH])
            await self._fetch(batch, room=self._room)
            self._room -= sum(len(self._contents.get(path, b"")) for path in batch)

    def _code_with(self, path: str) -> list[str]:
        """The files that are read together with this one of the code; none with another file."""
        run_all = code_files(self._paths)
        if path not in run_all:
            folder, _, name = path.rpartition("/")
            beside = (each for each in self._paths if each.endswith(".py") and each.rpartition("/")[0] == folder)
            run_all = frozenset(beside if name.endswith(".py") else ())
        return sorted(run_all - self._contents.keys())

    async def _fetch(self, paths: AbstractSet[str], room: int | None = None) -> None:
        """A path that turns out to be no regular file, or without `room`, is from now on as if it were not there."""
        contents = await self._sources.read(self._repository, self._commit, paths)
        if room is not None and sum(map(len, contents.values())) > room:
            contents = {}
        self._contents.update(contents)
        for path in paths - contents.keys():
            del self._paths[path]

    def __getitem__(self, path: str) -> bytes:
        if path not in self._paths:
            raise KeyError(path)
        if path not in self._contents:
            raise NotRead(path)
        return self._contents[path]

    def __contains__(self, path: object) -> bool:
        return path in self._paths

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


async def _in_thread(question: Callable[[], _Answer]) -> _Answer:
    """What `question` returns, while the worker goes on with its other previews."""
    try:
        async with asyncio.timeout(MAX_SECONDS):
            return await asyncio.to_thread(question)
    except TimeoutError:
        what = f"reading the Compose file takes longer than {MAX_SECONDS:g} seconds"
        raise AuthorError(what, "make it, and the files that it names, shorter") from None
