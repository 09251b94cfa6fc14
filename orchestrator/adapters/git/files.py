"""A commit's files as a mapping that threads read: each content comes from git when it is asked for.

Made by the sources' adapter beside it. One git answers for as long as the mapping is open, over a pair of sockets: a
thread that still waits for an answer is woken when the mapping is closed, and fails.
"""

import contextlib
import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from threading import Lock

from orchestrator.adapters.git.repository import Entry, Repository, check_header
from orchestrator.preview.errors import ComposeError, Place, TemporaryError

READ_LIMIT = 1024 * 1024
"""Octets of the largest file that is read whole: Compose files and the like are far smaller."""


@contextlib.asynccontextmanager
async def commit_files(repository: Repository, entries: Iterable[Entry]) -> AsyncIterator[Mapping[str, bytes]]:
    """The regular files among these entries, until the block is left."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        async with repository.answering_to(theirs):
            theirs.close()  # so that the end of git is the end of what we read
            objects = _Objects(ours)
            try:
                yield _Files(entries, objects)
            finally:
                objects.close()


class _Files(Mapping[str, bytes]):
    """By path. A symbolic link is no file here, nor is a submodule."""

    def __init__(self, entries: Iterable[Entry], objects: "_Objects") -> None:
        self._entries = {entry.path: entry for entry in entries if entry.is_file}
        self._objects = objects

    def __getitem__(self, path: str) -> bytes:
        """Raises ComposeError for a file that is too large, and TemporaryError when git does not answer any more."""
        entry = self._entries[path]
        if entry.size > READ_LIMIT:
            what = f"it is larger than {READ_LIMIT} bytes"
            raise ComposeError(Place(file=path), what, "Keep only text in it that is needed.")
        return self._objects.content(entry)

    def __contains__(self, path: object) -> bool:
        return path in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class _Objects:
    """A conversation with `cat-file --batch`, for one thread at a time."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._answers = channel.makefile("rb")
        self._turn = Lock()

    def content(self, entry: Entry) -> bytes:
        try:
            with self._turn:
                self._channel.sendall(f"{entry.oid}\n".encode())
                check_header(self._answers.readline(), entry.oid, entry.size)
                content = self._answers.read(entry.size + 1)
        except (OSError, ValueError) as error:  # ValueError: it was closed
            raise _lost(entry) from error
        if len(content) <= entry.size:
            raise _lost(entry)
        return content[:-1]

    def close(self) -> None:
        """End the thread that waits for an answer, and then the conversation."""
        with contextlib.suppress(OSError):  # git is gone
            self._channel.shutdown(socket.SHUT_RDWR)
        with self._turn:
            self._answers.close()
            self._channel.close()


def _lost(entry: Entry) -> TemporaryError:
    return TemporaryError(f"git lost the object {entry.oid} while it was read")
