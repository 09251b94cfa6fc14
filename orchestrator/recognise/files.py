"""A repository's files as recognition reads them: one folder of them, with more laid over them, and capped."""

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from orchestrator.code.toml import read_toml
from orchestrator.errors import AuthorError

MAX_MODULES = 2_000
"""So many modules are looked at, the usual places first."""
_DEPTH = 2
"""`backend/requirements/base.txt` is as deep as dependency files stand."""
_ASIDE = frozenset(
    {
        *("alembic", "bench", "benchmarks", "build", "demo", "dist", "doc", "docs", "env", "example", "examples"),
        *("migrations", "node_modules", "scripts", "site-packages", "test", "testing", "tests", "venv", "versions"),
    }
)
"""Folders whose modules are no application: tests and examples make some, too."""
_NAMED = frozenset(
    {
        ".python-version", "Pipfile", "Pipfile.lock", "Procfile", "alembic.ini", "poetry.lock", "pyproject.toml",
        "runtime.txt", "setup.cfg", "setup.py", "uv.lock",
    }
)  # fmt: skip


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


def wanted(paths: Iterable[str], folder: str = ".") -> list[str]:
    """The paths that recognition reads below `folder`: whoever reads files one by one may fetch them all at once."""
    prefix = "" if folder == "." else f"{folder}/"
    below = [path.removeprefix(prefix) for path in paths if path.startswith(prefix)]
    declared = [path for path in below if _declares(path)]
    return [prefix + path for path in (*declared, *modules(below))]


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


def _declares(path: str) -> bool:
    name = posixpath.basename(path)
    return path.count("/") <= _DEPTH and (name in _NAMED or (name.endswith(".txt") and "requirements" in path))


def _may_serve(path: str) -> bool:
    *folders, name = path.split("/")
    if any(folder in _ASIDE or folder.startswith(".") for folder in folders):
        return False
    return all(part.isidentifier() for part in (*folders[-1:], name.removesuffix(".py"))) and not (
        name.startswith("test_") or name.endswith("_test.py") or name in ("conftest.py", "setup.py", "manage.py")
    )
