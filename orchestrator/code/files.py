"""Which files of a repository are read for what its code says, and how much of them at most. Pure.

A repository is whatever its author makes it: the number of files, and the bytes of each, have an end.
"""

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence

from orchestrator.errors import ComposeError

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


def code_files(paths: Iterable[str]) -> frozenset[str]:
    """All of them: whoever fetches one of these fetches the others at once, since they are read together."""
    all_paths = list(paths)
    kinds = (dependency_files, python_files, example_files, migration_files, config_files)
    return frozenset(path for kind in kinds for path in kind(all_paths))


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
