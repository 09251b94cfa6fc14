"""Which files of a repository are read for what its code says, and how much of them at most. Pure.

A repository is whatever its author makes it: the number of files, and the bytes of each, have an end.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from orchestrator.codebase.toml import read_toml
from orchestrator.preview.errors import AuthorError, ComposeError

MAX_CODE_FILES = 120
MAX_MIGRATIONS = 1000
"""A repository with more has no tree of migrations: a part of them would be taken for broken."""
MAX_CODE_BYTES = 64 * 1024
"""Of one file of code. A larger one is generated, and says nothing about databases."""
_LISTS = re.compile(
    r"(?:.*/)?(?:requirements[\w.-]*\.(?:txt|in)|requirements/[\w.-]+\.(?:txt|in)|pyproject\.toml|Pipfile(?:\.lock)?"
    r"|(?:uv|poetry|pdm)\.lock|setup\.cfg)"
)
_EXAMPLES = frozenset({".env.example", ".env.sample", ".env.template", ".env.dist", "env.example"})
_SKIPPED = frozenset(
    {"tests", "test", "testing", "docs", "doc", "node_modules", "site-packages", ".venv", "venv", "env", ".tox", "dist"}
    | {".github", "benchmarks", "bench"}
)
_TELLING = re.compile(r"(?:^|[_/])(?:db|database|databases|engine|session|sessions|config|settings|env|base|core|conf)")
_MAX_LISTS = 20
_MAX_DEPTH = 8


def dependency_files(paths: Iterable[str]) -> list[str]:
    """The lists and locks of Python packages, those near the root first."""
    found = (path for path in paths if _LISTS.fullmatch(path) and not _is_skipped(path))
    return sorted(found, key=lambda path: (path.count("/"), path))[:_MAX_LISTS]


def python_files(paths: Iterable[str]) -> list[str]:
    """The application's modules: those first whose names speak of databases or settings, then those near the root."""
    found = (path for path in paths if path.endswith(".py") and not _is_skipped(path) and "/versions/" not in path)
    return sorted(found, key=_order)[:MAX_CODE_FILES]


def example_files(paths: Iterable[str]) -> list[str]:
    """Files that show which variables an application wants, such as `.env.example`."""
    found = (path for path in paths if posixpath.basename(path) in _EXAMPLES and not _is_skipped(path))
    return sorted(found, key=lambda path: (path.count("/"), path))[:5]


def migration_files(paths: Iterable[str]) -> list[str]:
    """Revisions, and scripts in SQL, the newest names last."""
    found = [
        path
        for path in paths
        if path.endswith((".py", ".sql"))
        and ("/versions/" in path or "migrations/" in path or path.startswith("versions/"))
        and not _is_skipped(path)
    ]
    return sorted(found)[-MAX_MIGRATIONS:]


def config_files(paths: Iterable[str]) -> list[str]:
    """Alembic's own configuration, nearest to the root first."""
    found = (path for path in paths if posixpath.basename(path) == "alembic.ini" and not _is_skipped(path))
    return sorted(found, key=lambda path: (path.count("/"), path))[:5]


def below(paths: Iterable[str], folders: Sequence[str]) -> list[str]:
    """The paths inside one of the folders; all of them where none is, or `.` is among the folders."""
    all_paths = list(paths)
    found = [path for path in all_paths if any(path.startswith(f"{folder}/") for folder in folders)]
    return all_paths if "." in folders or not found else found


def data_of(files: Mapping[str, bytes], path: str) -> bytes:
    """A file's content; nothing where it is none that can be read: code that is not read fails no preview."""
    try:
        return files.get(path, b"")
    except ComposeError:
        return b""


def text_of(files: Mapping[str, bytes], path: str, limit: int = MAX_CODE_BYTES) -> str:
    """A file's text; empty where it is too large. What is not UTF-8 in it becomes a replacement character."""
    data = data_of(files, path)
    return data.decode("utf-8-sig", errors="replace") if len(data) <= limit else ""


def _is_skipped(path: str) -> bool:
    *folders, name = path.split("/")
    is_test = name.startswith("test_") or name.endswith("_test.py") or name == "conftest.py"
    return is_test or len(folders) > _MAX_DEPTH or not _SKIPPED.isdisjoint(folders)


def _order(path: str) -> tuple[bool, int, str]:
    return _TELLING.search(path.lower()) is None, path.count("/"), path


MAX_MODULES = 2_000
"""So many modules are looked at, the usual places first."""
_ASIDE = frozenset(
    {
        *("alembic", "bench", "benchmarks", "build", "demo", "dist", "doc", "docs", "env", "example", "examples"),
        *("migrations", "node_modules", "scripts", "site-packages", "test", "testing", "tests", "venv", "versions"),
    }
)
"""Folders whose modules are no application: tests and examples make some, too."""


class Folder(Mapping[str, bytes]):
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


def modules(paths: Iterable[str]) -> list[str]:
    """The modules that may hold the application, those near the root first."""
    found = [path for path in paths if path.endswith(".py") and _may_serve(path)]
    return sorted(found, key=lambda path: (path.count("/"), path))[:MAX_MODULES]


def text(files: Mapping[str, bytes], path: str) -> str:
    """A file's text; empty where there is none."""
    return files[path].decode("utf-8-sig", errors="replace") if path in files else ""


def toml(files: Mapping[str, bytes], path: str) -> dict[str, Any]:
    """A TOML file; empty where there is none. Raises AuthorError for one that cannot be read."""
    try:
        return read_toml(text(files, path))
    except ValueError as error:
        raise AuthorError(f"{path} cannot be read: {error}", "correct it") from None


def table(value: Any, *keys: str) -> dict[str, Any]:
    """The table that these keys lead to; empty where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _may_serve(path: str) -> bool:
    *folders, name = path.split("/")
    if any(folder in _ASIDE or folder.startswith(".") for folder in folders):
        return False
    return all(part.isidentifier() for part in (*folders[-1:], name.removesuffix(".py"))) and not (
        name.startswith("test_") or name.endswith("_test.py") or name in ("conftest.py", "setup.py", "manage.py")
    )
