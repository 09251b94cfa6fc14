"""The files of a commit as pure code takes them: each is read when it is asked for, in the thread that asks.

Neither the Compose language nor what reads the code does any I/O: they get a mapping, and this one has an end.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import TypeVar

from orchestrator.ports.sources import Sources
from orchestrator.preview.errors import AuthorError, ComposeError, Place

MAX_SECONDS = 10.0
"""For one question. The language bounds its own work far below: this only keeps a worker from waiting without end."""

MAX_BYTES = 32 * 1024 * 1024
"""Of all files that are read of a commit: they are kept until its reading ends, for pure code reads many twice."""

_Answer = TypeVar("_Answer")


class CommitFiles(Mapping[str, bytes]):
    """What pure code is asked about.

    A thread cannot be ended from outside: one that was given up, for it took too long, fails at its next look here.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files
        self._contents: dict[str, bytes] = {}
        self._room = MAX_BYTES
        self._is_closed = False

    async def answer(self, question: Callable[[], _Answer]) -> _Answer:
        """What `question` returns. In a thread, for it may take seconds, in which the lease must be renewed."""
        try:
            async with asyncio.timeout(MAX_SECONDS):
                return await asyncio.to_thread(question)
        except TimeoutError:
            self.close()
            what = f"reading the Compose file takes longer than {MAX_SECONDS:g} seconds"
            raise AuthorError(what, "make it, and the files that it names, shorter") from None

    def close(self) -> None:
        """A thread that is still at its question ends."""
        self._is_closed = True

    def __getitem__(self, path: str) -> bytes:
        """Raises ComposeError for a file that cannot be read, and for one that is more than may be read."""
        self._require_open()
        if path not in self._contents:
            content = self._files[path]
            if len(content) > self._room:
                what = f"the files that are read of the repository hold more than {MAX_BYTES} bytes in all"
                raise ComposeError(Place(file=path), what, "Keep generated and large files out of the repository.")
            self._room -= len(content)
            self._contents[path] = content
        return self._contents[path]

    def __contains__(self, path: object) -> bool:
        self._require_open()
        return path in self._files

    def __iter__(self) -> Iterator[str]:
        self._require_open()
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def _require_open(self) -> None:
        """Raises TimeoutError: no pure code handles it, as it does the errors that are an author's."""
        if self._is_closed:
            raise TimeoutError


@contextlib.asynccontextmanager
async def commit_files(sources: Sources, repository: int, commit: str) -> AsyncIterator[CommitFiles]:
    """Opens the files of a commit that was fetched before. Nothing of it is read once the block is left."""
    async with await sources.files(repository, commit) as opened:
        with contextlib.closing(CommitFiles(opened)) as files:
            yield files
