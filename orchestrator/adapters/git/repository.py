"""Runs git on one bare repository and reads its objects. Used by the sources' adapter beside it, and by nothing else.

Every program gets an argv list, an environment of its own, a process group of its own, and does not outlive the
block that it runs in. It decides nothing about pull requests.
"""

import asyncio
import contextlib
import os
import re
import resource
import signal
import socket
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from orchestrator.preview.errors import DiskFull, TemporaryError
from orchestrator.runtime import fence
from orchestrator.runtime.concurrency import in_thread

CHUNK = 256 * 1024
EARLIEST, LATEST = 315_619_200, 4_102_444_800
"""1980-01-02 and 2100-01-01: a zip archive, hence a Python wheel, cannot hold a file's date outside of these."""

KEPT_VARIABLES = (
    *("PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH"),
    *("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"),
)
"""What git gets of our own environment: where programs, certificates and proxies are."""

CONFIGURATION = {
    "core.hooksPath": os.devnull,
    "core.symlinks": "false",
    "core.fsmonitor": "false",
    "credential.helper": "",
    "http.followRedirects": "false",  # git would take the token along, to whatever host
    "fetch.fsckObjects": "true",
    "transfer.fsckObjects": "true",
    # Old tools wrote these into the history of many honest repositories. They harm nobody.
    "fetch.fsck.badTimezone": "ignore",
    "fetch.fsck.missingSpaceBeforeDate": "ignore",
    "fetch.fsck.zeroPaddedFilemode": "ignore",
    "fetch.recurseSubmodules": "false",
    "submodule.recurse": "false",
    "filter.lfs.smudge": "",
    "filter.lfs.required": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "protocol.allow": "never",
    "protocol.https.allow": "always",
    "protocol.http.allow": "always",  # for a forge on a private network
}


_NO_ROOM = re.compile(
    r"^(?!remote:).*(No space left on device|Disk quota exceeded|Read-only file system)", re.MULTILINE
)
"""What git says of our disk. Of its own the forge may say the same, behind `remote:`."""


class GitFailed(TemporaryError):
    """A git command ended with an error; `words` is what it said."""

    def __init__(self, words: str) -> None:
        super().__init__(f"git failed: {words}")
        self.words = words


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, link or submodule of a commit."""

    mode: str
    oid: str
    size: int
    """0 for a submodule."""
    path: str
    """Octets that are not UTF-8 stand as lone surrogates, so that every path can be written back."""

    @property
    def is_file(self) -> bool:
        return self.mode.startswith("100")

    @property
    def is_link(self) -> bool:
        return self.mode == "120000"

    @property
    def is_executable(self) -> bool:
        return self.mode == "100755"


Content = Callable[[Entry], AsyncIterator[bytes]]
"""The content of the next entry, in chunks that must be read to the end before the entry after it."""


Answer = Callable[[str, int], AsyncIterator[bytes]]
"""The content of the object of this name and size, in chunks. Ends what was being read before."""


class Repository:
    """A bare repository in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def create(self) -> None:
        """`init` repairs what an interrupted one left out. Locks and packs of a git that was killed are swept away."""
        await self._run_git("init", "--quiet", "--bare", "--template=", str(self.folder))
        await in_thread(self._sweep)

    async def fetch(self, url: str, refspec: str, configuration: Mapping[str, str], largest_pack: int) -> None:
        """Fetch one commit without its history. `configuration` may hold secrets; argv does not."""
        flags = ("--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
        arguments = [*self._options(), "fetch", *flags, "--", url, refspec]
        async with _running(arguments, configuration) as git:
            with contextlib.suppress(ProcessLookupError):  # it failed at once
                resource.prlimit(git.process.pid, resource.RLIMIT_FSIZE, (largest_pack, largest_pack))
            await git.succeed()

    async def run(self, *arguments: str) -> bytes:
        """Run one command on this repository and return what it printed. Raises GitFailed."""
        return await self._run_git(*self._options(), *arguments)

    async def resolve(self, ref: str) -> str:
        """The commit that a ref names; empty when there is none."""
        try:
            return (await self.run("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")).decode().strip()
        except GitFailed:
            return ""

    async def date(self, commit: str) -> int:
        """When it was committed, in seconds since 1970. The author chose it: it is brought into a sane range."""
        date = int(await self.run("show", "--no-patch", "--format=%ct", commit))
        return min(max(date, EARLIEST), LATEST)

    async def entries(self, commit: str) -> AsyncGenerator[Entry, None]:
        """Every file, link and submodule of a commit, sorted as git sorts, while git still finds more."""
        arguments = [*self._options(), "ls-tree", "-r", "-z", "-l", "--full-tree", commit]
        async with _running(arguments) as git:
            rest = b""
            while chunk := await git.stdout.read(CHUNK):
                *records, rest = (rest + chunk).split(b"\0")
                for record in records:
                    yield _entry(record)
            await git.succeed()

    @contextlib.asynccontextmanager
    async def reading(self, entries: Sequence[Entry]) -> AsyncIterator[Content]:
        """Read the contents of these entries, one after the other, by one git that never waits for us to ask."""
        async with _running([*self._options(), "cat-file", "--batch", "--buffer"], stdin=PIPE) as git:
            feeding = asyncio.create_task(_feed(git, [entry.oid for entry in entries]))
            try:
                yield lambda entry: _content(git.stdout, entry)
            except asyncio.IncompleteReadError as error:
                raise TemporaryError(f"git lost an object of {self.folder.name} while it was read") from error
            finally:
                feeding.cancel()
                await asyncio.wait([feeding])

    @contextlib.asynccontextmanager
    async def answering(self) -> AsyncIterator[Answer]:
        """Read contents one after the other as they are asked for, in whatever order. Nobody has to read to an end."""
        async with _running([*self._options(), "cat-file", "--batch"], stdin=PIPE) as git:
            yield _Answers(git).content

    @contextlib.asynccontextmanager
    async def answering_to(self, channel: socket.socket) -> AsyncIterator[None]:
        """The same for a thread that asks through the other end of this channel."""
        ends = channel.fileno()
        async with _running([*self._options(), "cat-file", "--batch"], stdin=ends, stdout=ends):
            yield

    def _options(self) -> list[str]:
        return ["--git-dir", str(self.folder)]

    async def _run_git(self, *arguments: str) -> bytes:
        async with _running(arguments) as git:
            printed = await git.stdout.read()
            await git.succeed()
            return printed

    def _sweep(self) -> None:
        fence.require()
        packs = self.folder / "objects" / "pack"
        for left in (*self.folder.glob("*.lock"), *(self.folder / "refs").rglob("*.lock"), *packs.glob("tmp_*")):
            left.unlink(missing_ok=True)


@dataclass(slots=True)
class _Running:
    """A git at work."""

    process: asyncio.subprocess.Process
    complaints: IO[bytes]

    @property
    def stdout(self) -> asyncio.StreamReader:
        if self.process.stdout is None:  # cannot be: it was asked for
            raise AssertionError
        return self.process.stdout

    @property
    def stdin(self) -> asyncio.StreamWriter:
        if self.process.stdin is None:  # cannot be: it was asked for
            raise AssertionError
        return self.process.stdin

    async def succeed(self) -> None:
        """Wait for its end. Raises GitFailed with its last words, and DiskFull."""
        if await self.process.wait() != 0:
            self.complaints.seek(0)
            words = self.complaints.read(CHUNK).decode(errors="replace").strip()
            if full := _NO_ROOM.search(words):
                raise DiskFull("previewd's data", full[1], "Make room at PREVIEWD_DATA_DIR.")
            raise GitFailed(words)


@contextlib.asynccontextmanager
async def _running(
    arguments: Sequence[str],
    configuration: Mapping[str, str] | None = None,
    *,
    stdin: int = DEVNULL,
    stdout: int = PIPE,
) -> AsyncIterator[_Running]:
    """Start git, and kill whatever of it is left when the block ends."""
    with tempfile.TemporaryFile() as complaints:
        fence.require()
        process = await asyncio.create_subprocess_exec(
            *("git", *arguments),
            env=_environment(CONFIGURATION | dict(configuration or {})),
            stdin=stdin,
            stdout=stdout,
            stderr=complaints,
            limit=CHUNK,
            start_new_session=True,
        )
        try:
            yield _Running(process, complaints)
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def _environment(configuration: Mapping[str, str]) -> dict[str, str]:
    """Nothing of the machine's or of the user's git configuration, and of our environment only what git needs."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    fixed = {
        "HOME": "/nonexistent",
        "LC_ALL": "C",  # errors are told apart by git's own words
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_CONFIG_COUNT": str(len(configuration)),
    }
    pairs = enumerate(configuration.items())
    numbered = {
        f"GIT_CONFIG_{what}_{n}": text for n, pair in pairs for what, text in zip(("KEY", "VALUE"), pair, strict=True)
    }
    return kept | fixed | numbered


def _entry(record: bytes) -> Entry:
    """`MODE TYPE OBJECT    SIZE<tab>PATH`; a submodule's size is a hyphen."""
    description, _, path = record.partition(b"\t")
    mode, _, oid, size = description.decode().split()
    return Entry(mode, oid, 0 if size == "-" else int(size), os.fsdecode(path))


async def _feed(git: _Running, oids: Sequence[str]) -> None:
    """Ask for objects while the answers to earlier questions are being read."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it died; its reader finds out
        for oid in oids:
            await _ask(git, oid)
        git.stdin.close()


@dataclass(slots=True)
class _Answers:
    """A conversation with `cat-file --batch`."""

    git: _Running
    _left: int = 0
    """Octets of the last answer that nobody has read, the line break at its end included."""

    async def content(self, oid: str, size: int) -> AsyncIterator[bytes]:
        try:
            await self._skip()
            await _ask(self.git, oid)
            await _expect(self.git.stdout, oid, size)
            self._left = size + 1
            while self._left > 1:
                yield await self._chunk(self._left - 1)
            await self._skip()
        except (asyncio.IncompleteReadError, BrokenPipeError, ConnectionResetError) as error:
            raise TemporaryError(f"git lost the object {oid} while it was read") from error

    async def _skip(self) -> None:
        while self._left:
            await self._chunk(self._left)

    async def _chunk(self, most: int) -> bytes:
        chunk = await self.git.stdout.read(min(most, CHUNK))
        if not chunk:
            raise asyncio.IncompleteReadError(chunk, most)
        self._left -= len(chunk)
        return chunk


async def _ask(git: _Running, oid: str) -> None:
    git.stdin.write(f"{oid}\n".encode())
    await git.stdin.drain()


async def _expect(stdout: asyncio.StreamReader, oid: str, size: int) -> None:
    check_header(await stdout.readuntil(), oid, size)


def check_header(header: bytes, oid: str, size: int) -> None:
    """Of one answer of `cat-file --batch`: `OBJECT blob SIZE`, a line break, that many octets, a line break.

    Raises TemporaryError for any other object, and for none.
    """
    if header.split() != [oid.encode(), b"blob", str(size).encode()]:
        raise TemporaryError(f"git has no content for {oid}: {header.decode(errors='replace').strip()}")


async def _content(stdout: asyncio.StreamReader, entry: Entry) -> AsyncIterator[bytes]:
    await _expect(stdout, entry.oid, entry.size)
    left = entry.size
    while left:
        chunk = await stdout.read(min(left, CHUNK))
        if not chunk:
            raise asyncio.IncompleteReadError(chunk, left)
        left -= len(chunk)
        yield chunk
    await stdout.readexactly(1)
