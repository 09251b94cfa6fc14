"""Commits of repositories as git objects on this machine. Made by the worker's composition root, used through ports.

One bare repository per repository of the forge, filled by shallow fetches of pull requests' heads. There is never a
work tree: no hook, filter, attribute, submodule or link of a pull request's author takes effect here. The token goes
to git through its environment alone.
"""

import asyncio
import base64
import contextlib
import fcntl
import os
import posixpath
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.adapters.git.build_context import CommitContext, context_of
from orchestrator.adapters.git.export import below, export, whole
from orchestrator.adapters.git.files import READ_LIMIT, commit_files
from orchestrator.adapters.git.repository import Entry, GitFailed, Repository
from orchestrator.ports.sources import Checkout
from orchestrator.preview.errors import (
    AuthorError,
    ForgeUnavailable,
    OperatorError,
    PreviewdError,
    Superseded,
    TemporaryError,
)
from orchestrator.preview.trust import Pull
from orchestrator.runtime import fence
from orchestrator.runtime.concurrency import in_thread
from orchestrator.runtime.data_dir import remove_folder

LOCK_POLL_SECONDS = 0.05
FROZEN_SECONDS = 30.0
"""So much longer than a fetch may take is nothing done under a repository's lock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLimits:
    """How much of a commit is too much."""

    seconds: float = 120
    """For one fetch, from its start to its end."""
    entries: int = 200_000
    octets: int = 4 * 1024**3
    """All files of the commit together, as they would lie in a work tree; and the largest pack that is fetched."""


class GitSources:
    """Keeps the bare repositories in `root`, each named by its repository's number, so that renames do not matter."""

    def __init__(self, root: Path, limits: SourceLimits | None = None) -> None:
        self._root = root
        self._limits = limits or SourceLimits()
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def fetch(self, pull: Pull, token: str) -> None:
        """Fetch into a ref of its own first: `refs/previewd/N` never names a commit that was not checked."""
        async with self._locked(pull.repository):
            repository = self._bare(pull.repository)
            await repository.create()
            if await repository.resolve(_kept(pull.number)) == pull.head_commit:
                return
            try:
                await self._fetch(repository, pull, token)
                await self._check(repository, pull)
                await repository.run("update-ref", _kept(pull.number), pull.head_commit)
            finally:
                await repository.run("update-ref", "-d", _incoming(pull.number))

    async def paths(self, repository: int, commit: str) -> list[str]:
        """Files and links; a submodule is neither."""
        entries = await self._entries(repository, commit)
        return [entry.path for entry in entries if entry.is_file or entry.is_link]

    async def read(self, repository: int, commit: str, paths: Iterable[str]) -> dict[str, bytes]:
        """Links are not followed, and files of more than 1 MiB are left out too."""
        wanted = set(paths)
        entries = await self._entries(repository, commit)
        found = [entry for entry in entries if entry.path in wanted and entry.is_file and entry.size <= READ_LIMIT]
        return await whole(self._bare(repository), found)

    async def files(self, repository: int, commit: str) -> AbstractAsyncContextManager[Mapping[str, bytes]]:
        """Links are no files here. One of more than 1 MiB is there, and reading it raises ComposeError."""
        return commit_files(self._bare(repository), await self._entries(repository, commit))

    async def context(self, repository: int, commit: str, root: str, dockerfile: str) -> CommitContext:
        """All entries carry the commit's date: a clock's would make another context at each build of a commit."""
        entries = await self._entries(repository, commit)
        folder = _clean(root)
        return await context_of(
            self._bare(repository), commit, entries, folder, _clean(posixpath.join(folder, dockerfile))
        )

    async def export(self, repository: int, commit: str, path: str, target: str) -> bool:
        """All of it or nothing is at `target` afterwards. What is there already stays, with what containers wrote.

        Everybody may write to it: the user inside of a container is not ours. Links that lead out of the folder, and
        submodules, are left out.
        """
        if await asyncio.to_thread(os.path.lexists, target):
            return True
        entries = await self._entries(repository, commit)
        files = [entry for entry in entries if entry.path == _clean(path) and entry.is_file]
        inside = below(_clean(path), entries)
        if not files and not inside:
            return False
        await export(self._bare(repository), [replace(file, path="") for file in files] or inside, Path(target))
        return True

    async def remove(self, repository: int, number: int) -> None:
        bare = self._bare(repository)
        async with self._locked(repository) as lock:
            if await asyncio.to_thread(bare.folder.exists):
                for ref in (_kept(number), _incoming(number)):
                    await bare.run("update-ref", "-d", ref)
                if await bare.run("for-each-ref", "--count=1", "refs/previewd"):
                    return
            await in_thread(remove_folder, bare.folder)
            fence.require()
            lock.unlink(missing_ok=True)

    async def kept(self) -> list[Checkout]:
        return await asyncio.to_thread(self._kept)

    def _kept(self) -> list[Checkout]:
        """By the files of refs: nothing packs them here."""
        found = []
        for folder in self._root.glob("*.git"):
            if not folder.stem.isdecimal():
                continue
            refs = [ref.name for ref in folder.glob("refs/previewd/*") if ref.name.isdecimal()]
            found += [Checkout(repository=int(folder.stem), number=int(number)) for number in refs]
            found += [] if refs else [Checkout(repository=int(folder.stem), number=None)]
        return found

    async def _fetch(self, repository: Repository, pull: Pull, token: str) -> None:
        refspec = f"+{_wanted(pull)}:{_incoming(pull.number)}"
        try:
            async with asyncio.timeout(self._limits.seconds):
                await repository.fetch(pull.clone_url, refspec, _authorization(token), self._limits.octets)
        except TimeoutError as error:
            seconds = self._limits.seconds
            raise ForgeUnavailable(f"fetching {pull.repository_name} took more than {seconds:g} s") from error
        except GitFailed as failed:
            raise _not_fetched(pull, _without(failed.words, token)) from None  # the cause may show the token

    async def _check(self, repository: Repository, pull: Pull) -> None:
        """Hold what was fetched against what was asked for, and against the limits."""
        commit = await repository.resolve(_incoming(pull.number))
        if commit != pull.head_commit:
            raise Superseded(f"pull request {pull.number} has moved on from {pull.head_commit} to {commit}")
        count = octets = 0
        async with contextlib.aclosing(repository.entries(commit)) as entries:
            async for entry in entries:
                count, octets = count + 1, octets + entry.size
                if not {"", ".", ".."}.isdisjoint(entry.path.split("/")):
                    raise AuthorError(f"the commit holds a path that no file can have: {entry.path!r}")
                if count > self._limits.entries:
                    raise AuthorError(f"the commit has more than {self._limits.entries} files, the limit here")
                if octets > self._limits.octets:
                    raise _too_large(self._limits)

    async def _entries(self, repository: int, commit: str) -> list[Entry]:
        bare = self._bare(repository)
        try:
            return [entry async for entry in bare.entries(commit)]
        except GitFailed as failed:
            message = f"commit {commit} of repository {repository} is not on this machine: {failed.words}"
            raise TemporaryError(message) from failed

    def _bare(self, repository: int) -> Repository:
        return Repository(self._root / f"{repository}.git")

    @contextlib.asynccontextmanager
    async def _locked(self, repository: int) -> AsyncIterator[Path]:
        """Keep out other tasks, and other workers on this machine. Yields the lock's file."""
        path = self._root / f"{repository}.lock"
        async with self._locks[repository]:
            descriptor = await self._lock(path)
            try:
                yield path
            finally:
                os.close(descriptor)

    async def _lock(self, path: Path) -> int:
        """Wait for other workers. One that holds the lock for longer than a fetch may take is frozen: it is broken.

        What a frozen worker goes on with when it wakes is stopped by its fence, and git locks each ref by itself.
        """
        holder, since = None, fence.now()
        while (descriptor := _try_lock(path)) is None:
            found = _held_since(path)
            if found != holder:
                holder, since = found, fence.now()
            elif fence.now() - since > self._limits.seconds + FROZEN_SECONDS:
                _break(path)
            await asyncio.sleep(LOCK_POLL_SECONDS)
        return descriptor


def _wanted(pull: Pull) -> str:
    """The ref that follows the head: a pull request's, or for number 0 the base branch's own."""
    return f"refs/pull/{pull.number}/head" if pull.number else f"refs/heads/{pull.base_branch}"


def _kept(number: int) -> str:
    return f"refs/previewd/{number}"


def _incoming(number: int) -> str:
    return f"refs/incoming/{number}"


def _try_lock(path: Path) -> int | None:
    """Open and lock, without waiting. A file that its last holder deleted meanwhile keeps nobody out."""
    fence.require()
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.exists() and path.stat().st_ino == os.fstat(descriptor).st_ino:
            os.utime(descriptor)
            return descriptor
    except BlockingIOError:
        pass
    os.close(descriptor)
    return None


def _break(path: Path) -> None:
    """Let the next one lock a file of its own."""
    path.unlink(missing_ok=True)


def _held_since(path: Path) -> int | None:
    """When the lock was taken last, by the disk's clock: only another holder changes it. None when it is gone."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_mtime_ns
    return None


# The forge


def _authorization(token: str) -> dict[str, str]:
    return {"http.extraHeader": f"Authorization: Basic {_basic(token)}"} if token else {}


def _basic(token: str) -> str:
    return base64.b64encode(f"x-access-token:{token}".encode()).decode()


def _without(words: str, token: str) -> str:
    return words.replace(token, "***").replace(_basic(token), "***") if token else words


def _not_fetched(pull: Pull, words: str) -> PreviewdError:
    """It has one exit code for everything: its words tell."""
    if "couldn't find remote ref" in words:
        return Superseded(f"pull request {pull.number} has no head to fetch any more")
    if re.search(r"Authentication failed|could not read Username|error: 40[13]\b|repository '.*' not found", words):
        return OperatorError(
            f"the forge does not let us fetch {pull.repository_name}: {words}",
            remedy="Check that the App or the token is valid and may read this repository's contents.",
        )
    if re.search(r"error: 30[1-8]\b", words):
        return OperatorError(
            f"the forge sends git to another place for {pull.repository_name}, where our token does not go: {words}",
            remedy="Set the forge's URL to where it really answers.",
        )
    if "not allowed" in words and "transport" in words:
        return OperatorError(f"{pull.clone_url} cannot be fetched: only https and http URLs can", "Use an https URL.")
    if "died of signal 25" in words:  # SIGXFSZ: the pack grew beyond its limit
        return AuthorError(f"the commit of pull request {pull.number} is larger than this previewd takes")
    if re.search(r"fsck error|error: object [0-9a-f]+: \w+:", words):
        return AuthorError(f"the commit holds an object that git refuses: {words}")
    return ForgeUnavailable(f"{pull.repository_name} could not be fetched: {words}")


def _too_large(limits: SourceLimits) -> AuthorError:
    return AuthorError(f"the commit's files have more than {limits.octets} octets together, the limit here")


# Paths and contents


def _clean(path: str) -> str:
    """A path inside of the repository in git's form; the root is empty."""
    return posixpath.normpath("/" + path).lstrip("/")
