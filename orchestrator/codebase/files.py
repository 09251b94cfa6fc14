"""Which files of a repository are read, by their paths alone. Pure.

A repository is whatever its author makes it: of each kind only so many files are read, the likeliest first. What is
asked of its code and its database needs the first five kinds; what is generated for it needs `wanted`.
"""

import posixpath
import re
from collections.abc import Iterable, Sequence

MAX_CODE_FILES = 120
MAX_MIGRATIONS = 1000
"""A repository with more has no tree of migrations: a part of them would be taken for broken."""
MAX_MODULES = 2_000
"""Of those that may hold an application, the usual places first."""
_MAX_LISTS = 20
_MAX_OTHERS = 5
_MAX_DEPTH = 8
_LISTS = re.compile(
    r"(?:.*/)?(?:requirements[\w.-]*\.(?:txt|in)|requirements/[\w.-]+\.(?:txt|in)|pyproject\.toml|Pipfile(?:\.lock)?"
    r"|(?:uv|poetry|pdm)\.lock|setup\.cfg)"
)
_EXAMPLES = frozenset({".env.example", ".env.sample", ".env.template", ".env.dist", "env.example"})
_SKIPPED = frozenset(
    {"tests", "test", "testing", "docs", "doc", "node_modules", "site-packages", ".venv", "venv", "env", ".tox", "dist"}
    | {".github", "benchmarks", "bench"}
)
"""Folders whose code is not the application's."""
_TELLING = re.compile(r"(?:^|[_/])(?:db|database|databases|engine|session|sessions|config|settings|env|base|core|conf)")
_ASIDE = frozenset(
    {
        *("alembic", "bench", "benchmarks", "build", "demo", "dist", "doc", "docs", "env", "example", "examples"),
        *("migrations", "node_modules", "scripts", "site-packages", "test", "testing", "tests", "venv", "versions"),
    }
)
"""Folders whose modules are no application that is served: tests and examples make some, too."""


def dependency_files(paths: Iterable[str]) -> list[str]:
    """The lists and locks of Python packages."""
    return _nearest(path for path in paths if _LISTS.fullmatch(path) and not _is_skipped(path))[:_MAX_LISTS]


def python_files(paths: Iterable[str]) -> list[str]:
    """The application's modules: those first whose names speak of databases or settings, then those near the root."""
    found = (path for path in paths if path.endswith(".py") and not _is_skipped(path) and "/versions/" not in path)
    return sorted(found, key=lambda path: (_TELLING.search(path.lower()) is None, *_nearness(path)))[:MAX_CODE_FILES]


def example_files(paths: Iterable[str]) -> list[str]:
    """Files that show which variables an application wants, such as `.env.example`."""
    found = (path for path in paths if posixpath.basename(path) in _EXAMPLES and not _is_skipped(path))
    return _nearest(found)[:_MAX_OTHERS]


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
    """Alembic's own configuration."""
    found = (path for path in paths if posixpath.basename(path) == "alembic.ini" and not _is_skipped(path))
    return _nearest(found)[:_MAX_OTHERS]


def serving_modules(paths: Iterable[str]) -> list[str]:
    """The modules that may hold the application that is served."""
    return _nearest(path for path in paths if path.endswith(".py") and _may_serve(path))[:MAX_MODULES]


def below(paths: Iterable[str], folders: Sequence[str]) -> list[str]:
    """The paths inside one of the folders; all of them where none is, or `.` is among the folders."""
    all_paths = list(paths)
    found = [path for path in all_paths if any(path.startswith(f"{folder}/") for folder in folders)]
    return all_paths if "." in folders or not found else found


def _nearest(paths: Iterable[str]) -> list[str]:
    """Those near the root first."""
    return sorted(paths, key=_nearness)


def _nearness(path: str) -> tuple[int, str]:
    return path.count("/"), path


def _is_skipped(path: str) -> bool:
    *folders, name = path.split("/")
    return _is_test(name) or len(folders) > _MAX_DEPTH or not _SKIPPED.isdisjoint(folders)


def _is_test(name: str) -> bool:
    return name.startswith("test_") or name.endswith("_test.py") or name == "conftest.py"


def _may_serve(path: str) -> bool:
    *folders, name = path.split("/")
    if any(folder in _ASIDE or folder.startswith(".") for folder in folders):
        return False
    can_be_imported = all(part.isidentifier() for part in (*folders[-1:], name.removesuffix(".py")))
    return can_be_imported and not _is_test(name) and name not in ("setup.py", "manage.py")
