"""A build's context in memory, for tests: from a mapping of paths to what lies there."""

import stat
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256

from orchestrator.ports.sources import ContextEntry


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link."""

    target: str


@dataclass(frozen=True, slots=True)
class Program:
    """An executable file."""

    text: str


@dataclass(frozen=True, slots=True)
class Zeros:
    """A file of so many zeros, which are made as they are read."""

    size: int


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder, for one that has nothing in it: those of files are made by themselves."""


Content = str | bytes | Link | Program | Zeros | Folder

CHUNK = 64 * 1024


class MemoryContext:
    """A BuildContext. `read` holds the paths of the files that were read."""

    modified = 1_700_000_000

    def __init__(self, files: Mapping[str, Content] | None = None) -> None:
        self._files = dict(files or {})
        contents: dict[str, Content] = dict(self._files)
        for path in self._files:
            while path := path.rpartition("/")[0]:
                contents.setdefault(path, Folder())
        paths = sorted(contents, key=lambda path: [part.encode(errors="surrogateescape") for part in path.split("/")])
        self.entries = [_entry(path, contents[path]) for path in paths]
        described = [(entry.path, entry.mode, entry.blob, entry.link) for entry in self.entries]
        self.digest = sha256(repr(described).encode()).hexdigest()
        self.read: list[str] = []

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Callable[[ContextEntry], AsyncIterator[bytes]]]:
        yield self._chunks

    async def _chunks(self, entry: ContextEntry) -> AsyncIterator[bytes]:
        self.read.append(entry.path)
        content = self._files[entry.path]
        if isinstance(content, Zeros):
            for start in range(0, content.size, CHUNK):
                yield bytes(min(CHUNK, content.size - start))
        else:
            yield _octets(content)


def _entry(path: str, content: Content) -> ContextEntry:
    match content:
        case Folder():
            return ContextEntry(path=path, mode=stat.S_IFDIR | 0o755)
        case Link(target):
            return ContextEntry(path=path, mode=stat.S_IFLNK | 0o777, link=target)
        case Zeros(size):
            return ContextEntry(path=path, mode=stat.S_IFREG | 0o644, size=size, blob=f"{size} zeros")
        case _:
            data = _octets(content)
    mode = stat.S_IFREG | (0o755 if isinstance(content, Program) else 0o644)
    return ContextEntry(path=path, mode=mode, size=len(data), blob=sha256(data).hexdigest())


def _octets(content: Content) -> bytes:
    match content:
        case bytes():
            return content
        case str(text) | Program(text):
            return text.encode()
        case _:
            raise TypeError(f"no octets: {content!r}")
