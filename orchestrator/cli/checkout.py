"""A folder of this disk as the mapping of files that the Compose language reads: nothing leads out of it."""

import os
import posixpath
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import typer

from orchestrator.preview.errors import ComposeError, Place

MAX_FILES = 200_000
MAX_FILE_BYTES = 4 * 1024 * 1024
"""A larger file is none that a Compose file may name."""
SKIPPED = frozenset({".git", ".hg", ".svn"})


class Checkout(Mapping[str, bytes]):
    """The regular files below a folder, by their path in it. A file is read when it is asked for; links lead nowhere.

    A symbolic link is no file here, as it is none to the worker, which reads commits and no disk. No more is one of
    `ignored`, where a folder ends in `/`: no commit holds it.
    """

    def __init__(self, root: Path, ignored: frozenset[str] = frozenset()) -> None:
        self._root = root
        self._ignored = ignored
        self.missed: dict[str, None] = {}
        """What was asked for, is there, and is ignored."""
        self._paths: dict[str, None] = {}
        for path in _walk(str(root), "", ignored):
            if len(self._paths) == MAX_FILES:
                what = f"{root} holds more than {MAX_FILES} files; name the checkout of one repository"
                raise typer.BadParameter(what, param_hint="PATH")
            self._paths[path] = None

    def __getitem__(self, path: str) -> bytes:
        if path not in self:
            raise KeyError(path)
        return self.on_disk(path)

    def on_disk(self, path: str) -> bytes:
        """A file's content, ignored or not. Raises ComposeError where it cannot be read."""
        try:
            return _read(self._root / path)
        except OSError as error:
            raise ComposeError(Place(file=path), f"it cannot be read: {error.strerror}", "Make it readable.") from None
        except ValueError as error:
            raise ComposeError(Place(file=path), str(error), "Keep only text in it that Compose reads.") from None

    def __contains__(self, path: object) -> bool:
        if isinstance(path, str) and _is_ignored(path, self._ignored) and os.path.lexists(self._root / path):
            self.missed[path] = None
        return path in self._paths

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def _is_ignored(path: str, ignored: frozenset[str]) -> bool:
    parts = path.split("/")
    above = ("/".join(parts[: count + 1]) + "/" for count in range(len(parts)))
    return path in ignored or any(folder in ignored for folder in above)


def _walk(root: str, folder: str, ignored: frozenset[str]) -> Iterator[str]:
    """The regular files below `folder`, in the order of their names. A folder that cannot be read is empty."""
    try:
        entries = sorted(os.scandir(posixpath.join(root, folder)), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        path = posixpath.join(folder, entry.name)
        if path in ignored or f"{path}/" in ignored:
            continue
        if entry.is_file(follow_symlinks=False):
            yield path
        elif entry.is_dir(follow_symlinks=False) and entry.name not in SKIPPED:
            yield from _walk(root, path, ignored)


def _read(path: Path) -> bytes:
    """A regular file's content. Raises OSError, and ValueError for one that is too large."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as opened:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is no regular file")
        content = opened.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"it is larger than {MAX_FILE_BYTES} bytes")
    return content
