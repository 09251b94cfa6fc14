"""What a repository's files hold: a folder of them, one laid over them, their text, the tables of their TOML. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.codebase.toml import read_toml
from orchestrator.preview.errors import AuthorError

MAX_TEXT_BYTES = 64 * 1024
"""Of one file, unless who reads it says otherwise."""


class Subfolder(Mapping[str, bytes]):
    """The files below a folder, by their path in it."""

    def __init__(self, files: Mapping[str, bytes], folder: str) -> None:
        self._files = files
        self._prefix = "" if folder == "." else f"{folder}/"

    def __getitem__(self, path: str) -> bytes:
        return self._files[self._prefix + path]

    def __contains__(self, path: object) -> bool:
        return f"{self._prefix}{path}" in self._files

    def __iter__(self) -> Iterator[str]:
        return (path.removeprefix(self._prefix) for path in self._files if path.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Overlay(Mapping[str, bytes]):
    """The repository's files, and one more that it lacks."""

    def __init__(self, files: Mapping[str, bytes], path: str, content: bytes) -> None:
        self._files, self._path, self._content = files, path, content

    def __getitem__(self, path: str) -> bytes:
        return self._content if path == self._path else self._files[path]

    def __contains__(self, path: object) -> bool:
        return path == self._path or path in self._files

    def __iter__(self) -> Iterator[str]:
        yield self._path
        yield from (path for path in self._files if path != self._path)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def data_of(files: Mapping[str, bytes], path: str) -> bytes:
    """A file's content; nothing where it is none that can be read: code that is not read fails no preview."""
    try:
        return files.get(path, b"")
    except AuthorError:
        return b""


def text_of(files: Mapping[str, bytes], path: str, limit: int = MAX_TEXT_BYTES) -> str:
    """A file's text; empty where it is too large. What is not UTF-8 in it becomes a replacement character."""
    data = data_of(files, path)
    return _decoded(data) if len(data) <= limit else ""


def whole_text(files: Mapping[str, bytes], path: str) -> str:
    """A file's text, whatever its size; empty where there is none. Raises AuthorError where it cannot be read."""
    return _decoded(files[path]) if path in files else ""


def toml(files: Mapping[str, bytes], path: str) -> dict[str, Any]:
    """A TOML file; empty where there is none. Raises AuthorError for one that cannot be read."""
    try:
        return read_toml(whole_text(files, path))
    except ValueError as error:
        raise AuthorError(f"{path} cannot be read: {error}", "correct it") from None


def table(value: Any, *keys: str) -> dict[str, Any]:
    """The table that these keys lead to; empty where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _decoded(data: bytes) -> str:
    return data.decode("utf-8-sig", errors="replace")
