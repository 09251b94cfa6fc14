"""Repositories and their commits, as the worker needs them."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from orchestrator.preview.trust import Pull


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextEntry:
    """One file, folder or link of a build's context."""

    path: str
    """Relative to the context's root, with `/` between its parts."""
    mode: int
    """As `stat` gives it, kind included; permissions are 0644, 0755, or 0777 for a link."""
    size: int = 0
    """Of a regular file, in bytes."""
    link: str = ""
    """Where a symbolic link leads, as it was written."""
    blob: str = ""
    """The git object that holds the content of a regular file."""


class BuildContext(Protocol):
    """What a Dockerfile may copy: a folder of one commit, less what its `.dockerignore` names."""

    @property
    def entries(self) -> Sequence[ContextEntry]:
        """All of it, in the order of a walk: a folder before what lies in it, names of one folder by their octets."""

    @property
    def digest(self) -> str:
        """Of every path, mode and content: the same for equal contexts, whatever commit they come from."""

    @property
    def modified(self) -> int:
        """The time that every entry carries, in seconds since 1970. It says nothing of the content."""

    def reading(self) -> AbstractAsyncContextManager[Callable[[ContextEntry], AsyncIterator[bytes]]]:
        """Opens the context for one reader, who takes the files one after the other, each in chunks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """What is kept of a pull request's commits. `number` is None for a repository of which nothing is."""

    repository: int
    number: int | None


class Sources(Protocol):
    """Commits of repositories, as git objects on this machine; never a work tree."""

    async def fetch(self, pull: Pull, token: str) -> None:
        """Have `pull.head_commit`, fetched from the base repository's `refs/pull/N/head`.

        Number 0 (`PreviewId.is_template`) is no pull request: it stands for the head of the base branch itself. Raises
        Superseded when that ref has moved on.
        """

    async def paths(self, repository: int, commit: str) -> list[str]: ...
    async def read(self, repository: int, commit: str, paths: Iterable[str]) -> dict[str, bytes]:
        """The contents of these regular files; a path that is none is left out."""

    async def files(self, repository: int, commit: str) -> AbstractAsyncContextManager[Mapping[str, bytes]]:
        """Opens a commit for pure code that runs in a thread: its regular files, each read when it is asked for.

        Reading blocks the thread. It raises ComposeError for a file that cannot be had, and fails at once when the
        block is left.
        """

    async def context(self, repository: int, commit: str, root: str, dockerfile: str) -> BuildContext:
        """The folder `root`, less what the ignore file of `dockerfile` (relative to `root`) names."""

    async def export(self, repository: int, commit: str, path: str, target: str) -> bool:
        """Write a file or folder of the commit to `target` on this machine; False when the commit has none there."""

    async def remove(self, repository: int, number: int) -> None:
        """Forget a pull request's ref, and the repository with its last one."""

    async def kept(self) -> list[Checkout]:
        """Of which pull requests something is kept."""
