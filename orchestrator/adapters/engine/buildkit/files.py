"""Gives BuildKit the files that it asks for: `moby.filesync.v1.FileSync/DiffCopy`, which is fsutil's protocol.

We tell what every entry is; BuildKit compares that with what it kept of the last build, asks for the files that are
new to it, and says FIN. What has the same path, mode, size and time is the same file to it: so a file's time is made
from its content here. Equal content is never sent twice, and new content never missed.
"""

import posixpath
import stat
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from enum import IntEnum
from hashlib import sha256
from typing import Protocol
from urllib.parse import unquote_plus

from orchestrator.adapters.engine.buildkit import protobuf
from orchestrator.adapters.engine.buildkit.grpc import Call, Code, RpcError
from orchestrator.ports.sources import ContextEntry

CHUNK_OCTETS = 32 * 1024
"""Of a file's content in one packet, as fsutil sends it. BuildKit takes no message above 4 MiB."""
FOLLOW_PATHS = "followpaths"
FIRST_TIME = 10**18
"""The time of folders and links, in nanoseconds since 1970 (September 2001). Files are of the two years after it."""
TIME_OCTETS = 7
GO_FOLDER, GO_LINK = 1 << 31, 1 << 27
"""Bits of Go's os.FileMode, which are not those of `stat`."""

Read = Callable[[ContextEntry], AsyncIterator[bytes]]


class Folder(Protocol):
    """What may be asked for: the build's context, or the folder of its Dockerfile."""

    @property
    def entries(self) -> Sequence[ContextEntry]: ...
    def reading(self) -> AbstractAsyncContextManager[Read]: ...


class DockerfileFolder:
    """A folder with nothing in it but the Dockerfile: it is no part of the context, wherever it came from."""

    def __init__(self, name: str, text: bytes) -> None:
        digest = sha256(text).hexdigest()
        self.entries = (ContextEntry(path=name, mode=stat.S_IFREG | 0o644, size=len(text), blob=digest),)
        self._text = text

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Read]:
        async def read(_: ContextEntry) -> AsyncIterator[bytes]:
            yield self._text

        yield read


async def diff_copy(folder: Folder, call: Call) -> None:
    """Answer one call: list the folder, then send each file that is asked for.

    The `exclude-patterns` of the call are not minded: BuildKit has them from the `.dockerignore` that it finds, and the
    context is without what is to be left out, by whichever ignore file counts.
    """
    entries = asked_for(folder.entries, _values(call, FOLLOW_PATHS))
    for entry in entries:
        await call.send(stat_packet(entry))
    await call.send(packet(PacketType.STAT))
    async with folder.reading() as read:
        async for message in call.messages():
            fields = protobuf.decode(message)
            kind = protobuf.integer(fields, _Packet.TYPE)
            if kind == PacketType.REQUEST:
                await _send_file(call, entries, protobuf.integer(fields, _Packet.ID), read)
            elif kind == PacketType.FIN:
                await call.send(packet(PacketType.FIN))
                return


def asked_for(entries: Sequence[ContextEntry], paths: Iterable[str]) -> Sequence[ContextEntry]:
    """The entries at and below these paths, with the folders that lead there; all of them when there are no paths.

    BuildKit may be given more than it asks for: where a pattern or a link is in the way, that is everything.
    """
    roots = {posixpath.normpath(path.strip("/")) for path in paths}
    if not roots or "." in roots or any(set("*?[\\") & set(root) for root in roots):
        return entries
    ways = {way for root in roots for way in _ways(root)}
    if any(stat.S_ISLNK(entry.mode) and entry.path in ways for entry in entries):
        return entries
    return [entry for entry in entries if entry.path in ways or not roots.isdisjoint(_ways(entry.path))]


class PacketType(IntEnum):
    STAT = 0
    REQUEST = 1
    DATA = 2
    FIN = 3


class _Packet(IntEnum):
    """Fields of fsutil.types.Packet."""

    TYPE = 1
    STAT = 2
    ID = 3
    DATA = 4


class _Stat(IntEnum):
    """Fields of fsutil.types.Stat. Owner and group stay 0."""

    PATH = 1
    MODE = 2
    SIZE = 5
    TIME = 6
    LINK = 7


def packet(kind: PacketType, *, id_: int = 0, data: bytes = b"") -> bytes:
    """One without a stat. An empty STAT ends the list, an empty DATA a file."""
    return protobuf.encode((_Packet.TYPE, kind), (_Packet.ID, id_), (_Packet.DATA, data))


def stat_packet(entry: ContextEntry) -> bytes:
    """Tells of one entry. Its number, by which it is asked for, is its place in the list."""
    described = protobuf.encode(
        (_Stat.PATH, entry.path),
        (_Stat.MODE, _go_mode(entry.mode)),
        (_Stat.SIZE, entry.size),
        (_Stat.TIME, _time(entry)),
        (_Stat.LINK, entry.link),
    )
    return protobuf.encode((_Packet.STAT, described))


def _go_mode(mode: int) -> int:
    kind = GO_FOLDER if stat.S_ISDIR(mode) else GO_LINK if stat.S_ISLNK(mode) else 0
    return kind | stat.S_IMODE(mode) & 0o777


def _time(entry: ContextEntry) -> int:
    """In nanoseconds since 1970; 56 bits of it are the content's digest."""
    if not stat.S_ISREG(entry.mode):
        return FIRST_TIME
    return FIRST_TIME + int.from_bytes(sha256(entry.blob.encode()).digest()[:TIME_OCTETS], "big")


async def _send_file(call: Call, entries: Sequence[ContextEntry], number: int, read: Read) -> None:
    if number >= len(entries) or not stat.S_ISREG(entries[number].mode):
        raise RpcError(Code.NOT_FOUND, f"no file has the number {number}")
    async for content in read(entries[number]):
        for start in range(0, len(content), CHUNK_OCTETS):
            await call.send(packet(PacketType.DATA, id_=number, data=content[start : start + CHUNK_OCTETS]))
    await call.send(packet(PacketType.DATA, id_=number))


def _values(call: Call, name: str) -> list[str]:
    """What the call's metadata asks. Newer versions of BuildKit encode what is not ASCII, and say so."""
    values = call.metadata.get(name, [])
    return [unquote_plus(value) for value in values] if f"{name}-encoded" in call.metadata else values


def _ways(path: str) -> set[str]:
    """A path and the folders that lead to it."""
    parts = path.split("/")
    return {"/".join(parts[:end]) for end in range(1, len(parts) + 1)}
