"""Which packages an installation will hold, as far as dependency files and locks say it without an index.

Names are normalised as the packaging standard has it; a package with extras is there as `name` and as `name[extra]`.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from orchestrator.codebase.files import table, text, toml
from orchestrator.codebase.python.packages import Driver
from orchestrator.preview.errors import AuthorError

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?")
_BROUGHT: Mapping[str, tuple[str, ...]] = {
    "alembic": ("sqlalchemy",),
    "databases[aiopg]": ("psycopg2-binary",),
    "databases[asyncpg]": ("asyncpg",),
    "databases[postgresql]": ("asyncpg",),
    "fastapi[all]": ("uvicorn",),
    "fastapi[standard]": ("uvicorn",),
    "fastapi[standard-no-fastapi-cloud-cli]": ("uvicorn",),
    "flask-sqlalchemy": ("sqlalchemy",),
    "litestar[standard]": ("uvicorn",),
    "quart": ("hypercorn",),
    "sqlalchemy[postgresql]": ("psycopg2",),
    "sqlalchemy[postgresql-asyncpg]": ("asyncpg",),
    "sqlalchemy[postgresql-psycopg]": ("psycopg",),
    "sqlalchemy[postgresql-psycopg2binary]": ("psycopg2-binary",),
    "sqlmodel": ("sqlalchemy",),
    "tortoise-orm[asyncpg]": ("asyncpg",),
    "tortoise-orm[psycopg]": ("psycopg",),
}
"""What comes with a package, where no lock says it: only what decides something here."""
_DRIVERS: Mapping[str, Driver] = {
    "asyncpg": Driver.ASYNCPG,
    "psycopg": Driver.PSYCOPG,
    "psycopg2": Driver.PSYCOPG2,
    "psycopg2-binary": Driver.PSYCOPG2,
    "aiopg": Driver.PSYCOPG2,
    "psycopg2cffi": Driver.PLAIN,
    "pg8000": Driver.PLAIN,
}
"""The drivers of Postgres. Of several the first is the application's: others are mostly there for Alembic."""
_READ_PLAIN_URLS = frozenset({"django", "databases", "tortoise-orm"})
"""They want a URL without a driver in its scheme, though SQLAlchemy may be there, too."""


def postgres_driver(names: frozenset[str]) -> tuple[str, Driver] | None:
    """The Postgres driver among the packages, and the form of DATABASE_URL that suits the application.

    A driver in the scheme is a thing of SQLAlchemy: `asyncpg.connect` and libpq refuse such a URL.
    """
    package = next((package for package in _DRIVERS if package in names), None)
    if package is None:
        return None
    plain = "sqlalchemy" not in names or not _READ_PLAIN_URLS.isdisjoint(names)
    return package, Driver.PLAIN if plain else _DRIVERS[package]


def required(requirements: Iterable[str]) -> frozenset[str]:
    """The packages that requirements name, and what is known to come with them."""
    found = {name for requirement in requirements for name in _named(requirement)}
    return frozenset(found.union(*(_BROUGHT.get(name, ()) for name in found)))


def of_project(project: Mapping[str, Any]) -> frozenset[str]:
    """The packages that a `pyproject.toml` asks for, in the standard's form and in Poetry's."""
    standard = table(project, "project").get("dependencies")
    return required(standard if isinstance(standard, list) else ()) | _as_table(
        table(project, "tool", "poetry", "dependencies")
    )


def of_pipfile(files: Mapping[str, bytes]) -> frozenset[str]:
    """The packages of the Pipfile, or of its lock where there is one."""
    try:
        lock = json.loads(text(files, "Pipfile.lock") or "{}")
    except (ValueError, RecursionError):
        raise AuthorError("Pipfile.lock is not JSON", "run `pipenv lock`") from None
    return _as_table(table(toml(files, "Pipfile"), "packages")) | _as_table(table(lock, "default"))


def of_poetry_lock(lock: Mapping[str, Any]) -> frozenset[str]:
    """The packages of a lock's main group. Locks of Poetry before 2 tell groups apart by `category`, or not at all."""
    main = (
        package
        for package in _packages(lock)
        if not package.get("optional")
        and "main" in package.get("groups", ["main"])
        and package.get("category", "main") == "main"
    )
    return required(str(package.get("name", "")) for package in main)


def of_uv_lock(lock: Mapping[str, Any]) -> frozenset[str]:
    """The packages that the project needs, and those that they need: a lock holds the development ones, too."""
    packages = {str(package.get("name")): package for package in _packages(lock)}
    waiting = [(name, "") for name, package in packages.items() if _is_root(package)]
    seen = set(waiting)
    while waiting:
        name, extra = waiting.pop()
        for dependency in _dependencies(packages.get(name, {}), extra):
            wanted = str(dependency.get("name"))
            found = {(wanted, extra) for extra in ("", *map(str, dependency.get("extra", ())))}
            waiting.extend(found - seen)
            seen |= found
    return required(
        f"{name}[{extra}]" if extra else name for name, extra in seen if not _is_root(packages.get(name, {}))
    )


def is_local(package: Mapping[str, Any]) -> bool:
    """Whether a locked package is built from a folder of the repository, other than its root."""
    source = table(package, "source")
    paths = [source[key] for key in ("directory", "editable", "virtual", "path") if key in source]
    return source.get("type") in ("directory", "file") or any(path != "." for path in paths)


def _is_root(package: Mapping[str, Any]) -> bool:
    source = table(package, "source")
    return "." in (source.get("editable"), source.get("virtual"), source.get("directory"))


def _dependencies(package: Mapping[str, Any], extra: str) -> list[dict[str, Any]]:
    found = table(package, "optional-dependencies").get(extra) if extra else package.get("dependencies")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _packages(lock: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    found = lock.get("package")
    yield from (each for each in found if isinstance(each, dict)) if isinstance(found, list) else ()


def _as_table(found: Mapping[str, Any]) -> frozenset[str]:
    """Poetry's and Pipenv's way: a table by name, with extras in the value."""
    return required(
        f"{name}[{','.join(map(str, table({'it': value}, 'it').get('extras', ())))}]"
        for name, value in found.items()
        if not (isinstance(value, dict) and value.get("optional"))
    )


def _named(requirement: object) -> Iterator[str]:
    match = _REQUIREMENT.match(str(requirement))
    if match is not None:
        name = _normal(match[1])
        yield name
        yield from (f"{name}[{_normal(extra)}]" for extra in (match[2] or "").split(",") if extra.strip())


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
