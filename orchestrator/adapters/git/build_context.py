"""What a build may copy from a commit, as git objects. Made by the sources' adapter beside it.

Only files and links are in a context: a submodule would be an empty folder, and is left out. A file's mode is 0644 or
0755, whatever else git keeps of it.
"""

import contextlib
import hashlib
import os
import posixpath
import stat
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.adapters.git.repository import Entry, Repository
from orchestrator.codebase import dockerignore
from orchestrator.ports.sources import ContextEntry
from orchestrator.preview.errors import BuildError

LINK_LIMIT = 4095
"""Octets of a symbolic link: Linux takes no more."""
IGNORE_LIMIT = 1024 * 1024
"""Octets of an ignore file."""
MAX_LINKS = 40
"""How many links are followed from one to the next: as many as Linux follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitContext:
    """A folder of one commit, less what is ignored: `ports.sources.BuildContext`."""

    entries: Sequence[ContextEntry]
    digest: str
    modified: int
    repository: Repository

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[Callable[[ContextEntry], AsyncIterator[bytes]]]:
        """One git answers for the whole time, and is killed when the reader leaves."""
        async with self.repository.answering() as content:
            yield lambda entry: content(entry.blob, entry.size)


async def context_of(
    repository: Repository, commit: str, entries: Sequence[Entry], root: str, dockerfile: str
) -> CommitContext:
    """The folder `root` of a commit that has these entries. Raises BuildError that says what the author must mend.

    An empty `root` is the repository's top. `dockerfile` is relative to the top, and need not lie below `root`.
    """
    tree = {entry.path: entry for entry in entries}
    inside = _inside(root, tree)
    ignore = await _ignore(repository, tree, root, dockerfile)
    kept = {path: entry for path, entry in inside.items() if not ignore.excludes(path)}
    links = await _links(repository, {path: entry for path, entry in kept.items() if entry.is_link})
    found = [ContextEntry(path=path, mode=stat.S_IFDIR | 0o755) for path in _folders(inside, kept, ignore)]
    found += [_described(path, entry, links) for path, entry in kept.items()]
    found.sort(key=lambda entry: os.fsencode(entry.path).split(b"/"))
    return CommitContext(
        entries=tuple(found), digest=_digest(found), modified=await repository.date(commit), repository=repository
    )


def _inside(root: str, tree: Mapping[str, Entry]) -> dict[str, Entry]:
    """The files and links below a folder, by their paths relative to it."""
    if root in tree:
        kind = "a link" if tree[root].is_link else "a file" if tree[root].is_file else "a submodule"
        message = f"the build's context {root!r} is {kind}, and must be a folder"
        raise BuildError(message, "Name a folder of the repository as `build.context`.")
    prefix = f"{root}/" if root else ""
    below = {path[len(prefix) :]: entry for path, entry in tree.items() if path.startswith(prefix)}
    if root and not below:
        raise BuildError(
            f"the commit has no folder {root!r} to build from", "Add it, or name another as `build.context`."
        )
    return {path: entry for path, entry in below.items() if entry.is_file or entry.is_link}


def _folders(inside: Iterable[str], kept: Iterable[str], ignore: dockerignore.Ignore) -> set[str]:
    """The folders that are not ignored, be they left empty, and those that hold something that is kept."""
    every = {folder for path in inside for folder in _above(path)}
    return {folder for folder in every if not ignore.excludes(folder)} | {
        folder for path in kept for folder in _above(path)
    }


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def _described(path: str, entry: Entry, links: Mapping[str, str]) -> ContextEntry:
    if entry.is_link:
        return ContextEntry(path=path, mode=stat.S_IFLNK | 0o777, link=links[path])
    permissions = 0o755 if entry.is_executable else 0o644
    return ContextEntry(path=path, mode=stat.S_IFREG | permissions, size=entry.size, blob=entry.oid)


def _digest(entries: Iterable[ContextEntry]) -> str:
    """A file's content counts by its git object, whose name is a digest of it. No path and no link holds a NUL."""
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(os.fsencode(f"{entry.mode:o}\0{entry.path}\0{entry.blob or entry.link}\0"))
    return digest.hexdigest()


# Links


async def _links(repository: Repository, entries: Mapping[str, Entry]) -> dict[str, str]:
    """Where each link leads. Raises BuildError for what no file system takes as one."""
    for path, entry in entries.items():
        if not 0 < entry.size <= LINK_LIMIT:
            raise _no_link(path)
    found: dict[str, str] = {}
    async with repository.reading(list(entries.values())) as content:
        for path, entry in entries.items():
            found[path] = os.fsdecode(b"".join([chunk async for chunk in content(entry)]))
            if "\0" in found[path]:
                raise _no_link(path)
    return found


def _no_link(path: str) -> BuildError:
    return BuildError(f"{path!r} is a symbolic link to a path that no system takes", "Commit the link anew.")


# The ignore file


async def _ignore(repository: Repository, tree: Mapping[str, Entry], root: str, dockerfile: str) -> dockerignore.Ignore:
    """What the ignore file of this Dockerfile, or else of the folder, leaves out."""
    for name in (f"{dockerfile}.dockerignore", posixpath.join(root, ".dockerignore")):
        entry = await _followed(repository, tree, name)
        if entry is not None:
            return _parsed(name, await _content(repository, name, entry))
    return dockerignore.parse("")


async def _followed(repository: Repository, tree: Mapping[str, Entry], name: str) -> Entry | None:
    """The file that a name leads to. As in BuildKit a link finds what lies in its own folder or below, else nothing."""
    folder, path = posixpath.split(name)
    for _ in range(MAX_LINKS):
        entry = tree.get(posixpath.join(folder, path))
        if entry is None or not entry.is_link:
            return entry if entry is not None and entry.is_file else None
        target = (await _links(repository, {path: entry}))[path]
        path = posixpath.normpath(posixpath.join("/", posixpath.dirname(path), target)).lstrip("/")
    return None


async def _content(repository: Repository, name: str, entry: Entry) -> str:
    if entry.size > IGNORE_LIMIT:
        raise BuildError(f"{name} has more than {IGNORE_LIMIT} octets", "Shorten it with patterns.")
    async with repository.reading([entry]) as content:
        return b"".join([chunk async for chunk in content(entry)]).decode(errors="replace")


def _parsed(name: str, text: str) -> dockerignore.Ignore:
    try:
        return dockerignore.parse(text)
    except ValueError as error:
        raise BuildError(f"{name}, {error}", "Mend the pattern: Docker refuses the file as well.") from error
