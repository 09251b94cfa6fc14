"""Which Python packages a repository asks for, and so which Postgres drivers its image has. Pure."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import Any

from orchestrator.codebase.files import dependency_files, text_of
from orchestrator.codebase.toml import read_toml
from orchestrator.preview.errors import Place

MAX_LIST_BYTES = 1024 * 1024
MAX_PACKAGES = 2000
"""Of one list. Each is looked for in the text, to tell its line."""
_REQUIREMENT = re.compile(r"\s*(?P<name>[A-Za-z0-9][\w.-]*)\s*(?P<extras>\[[^\]]*\])?\s*(?P<version>[^;#\\]*)")
_LOCKED = re.compile(r'^name = "(?P<name>[^"]+)"\nversion = "(?P<version>[^"]+)"', re.MULTILINE)
_EXACT = re.compile(r"(?:===?\s*)?(?P<version>\d{1,9}\.\d{1,9})[\w.]*")
_OLD = re.compile(
    r"<\s*2\.1(?:\.0)?(?:[a-z]\w*)?\s*(?:,|$)|~=\s*2\.0\.\d|<\s*2(?:\.0)*\s*(?:,|$)|==\s*(?:1|2\.0)\.\S*|~2\.0|\^1"
)
_NEW = re.compile(r"(?:>=?|==|~=|\^)\s*2\.(?:[1-9]|\d\d)")
_OF_SQLALCHEMY = {
    "postgresql-asyncpg": "asyncpg",
    "postgresql-psycopg": "psycopg",
    "postgresql-psycopgbinary": "psycopg",
}
_OF_SQLALCHEMY |= {"postgresql": "psycopg2", "postgresql-psycopg2binary": "psycopg2", "postgresql-pg8000": "pg8000"}
_SYNC = {"psycopg2": "postgresql+psycopg2", "psycopg": "postgresql+psycopg", "pg8000": "postgresql+pg8000"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One that is asked for."""

    place: Place
    version: str = ""
    """As it is written: exact in a lock, a condition such as `>=2.0,<2.1`, or nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """The packages of a repository, by their plain names; psycopg2-binary counts as psycopg2."""

    packages: Mapping[str, Package] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        return name in self.packages

    @property
    def sync_driver(self) -> str | None:
        """The driver of a synchronous engine; None where there is none, or nothing is known."""
        if self.has("psycopg2") and self.has("psycopg") and self._bare_driver() == "psycopg":
            return "psycopg"
        return next((name for name in _SYNC if self.has(name)), None)

    @property
    def sync_scheme(self) -> str:
        """The URL's scheme for it. A bare `postgresql` where SQLAlchemy takes that for a driver that there is."""
        driver = self.sync_driver
        return "postgresql" if driver is None or driver == self._bare_driver() else _SYNC[driver]

    @property
    def async_scheme(self) -> str:
        """The scheme for an asynchronous engine."""
        return "postgresql+psycopg" if self.has("psycopg") and not self.has("asyncpg") else "postgresql+asyncpg"

    def _bare_driver(self) -> str | None:
        """What `postgresql://` means: psycopg2 to SQLAlchemy 2.0 and older, psycopg from 2.1. None where unknown."""
        package = self.packages.get("sqlalchemy")
        if package is None:
            return None
        exact = _EXACT.fullmatch(package.version)
        if exact is not None:
            return "psycopg" if _number(exact["version"]) >= (2, 1) else "psycopg2"
        if _OLD.search(package.version):
            return "psycopg2"
        return "psycopg" if _NEW.search(package.version) else None


def read_dependencies(files: Mapping[str, bytes], paths: Iterable[str]) -> Dependencies:
    """The packages that the lists and locks among `paths` name. A list that cannot be read names none."""
    found: dict[str, Package] = {}
    for path in dependency_files(paths):
        text = text_of(files, path, MAX_LIST_BYTES)
        for name, version in islice(_named(path, text), MAX_PACKAGES):
            plain = _plain(name)
            known = found.get(plain)
            if known is None or (_EXACT.fullmatch(version) and not _EXACT.fullmatch(known.version)):
                found[plain] = Package(place=Place(file=path, line=_line(text, name)), version=version)
    return Dependencies(packages=found)


def _named(path: str, text: str) -> Iterator[tuple[str, str]]:
    if path.endswith(("poetry.lock", "uv.lock", "pdm.lock")):
        yield from ((match["name"], match["version"]) for match in _LOCKED.finditer(text))
    elif path.endswith(".lock"):
        yield from _pipfile_lock(text)
    elif path.endswith((".toml", "Pipfile")):
        yield from _toml(text)
    else:
        yield from (pair for line in text.splitlines() for pair in _requirement(line))


def _requirement(line: str) -> Iterator[tuple[str, str]]:
    """The package of a line of requirements, and the drivers that an extra of SQLAlchemy brings."""
    match = _REQUIREMENT.match(line)
    if match is None or line.lstrip().startswith(("-", "#", "[")):
        return
    yield match["name"], match["version"].strip()
    if match["name"].lower() == "sqlalchemy":
        extras = (extra.strip().lower().replace("_", "-") for extra in (match["extras"] or "[]")[1:-1].split(","))
        yield from ((_OF_SQLALCHEMY[extra], "") for extra in extras if extra in _OF_SQLALCHEMY)


def _toml(text: str) -> Iterator[tuple[str, str]]:
    try:
        root = read_toml(text)
    except ValueError:
        return
    project, poetry = _table(root, "project"), _table(_table(root, "tool"), "poetry")
    lists = [project.get("dependencies"), *_table(project, "optional-dependencies").values()]
    lists.extend(_table(root, "dependency-groups").values())
    for listed in lists:
        for item in listed if isinstance(listed, list) else ():
            if isinstance(item, str):
                yield from _requirement(item)
    groups = (_table(group, "dependencies") for group in _table(poetry, "group").values())
    tables = (_table(poetry, "dependencies"), *groups, _table(root, "packages"), _table(root, "dev-packages"))
    for table in tables:
        for name, wanted in table.items():
            version = wanted.get("version", "") if isinstance(wanted, dict) else wanted
            extras = wanted.get("extras", []) if isinstance(wanted, dict) else []
            named = f"[{','.join(map(str, extras))}]" if isinstance(extras, list) else ""
            yield from _requirement(f"{name}{named} {version if isinstance(version, str) else ''}")


def _pipfile_lock(text: str) -> Iterator[tuple[str, str]]:
    try:
        root = json.loads(text)
    except (ValueError, RecursionError):
        return
    for section in ("default", "develop"):
        for name, wanted in _table(root, section).items():
            version = wanted.get("version") if isinstance(wanted, dict) else None
            yield name, version if isinstance(version, str) else ""


def _table(value: Any, key: str) -> dict[str, Any]:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _plain(name: str) -> str:
    plain = re.sub(r"[-_.]+", "-", name).lower()
    return {"psycopg2-binary": "psycopg2", "psycopg-binary": "psycopg", "psycopg-c": "psycopg"}.get(plain, plain)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _line(text: str, name: str) -> int:
    at = text.find(name)
    return text.count("\n", 0, at) + 1 if at >= 0 else 0


class Driver(StrEnum):
    """The form of DATABASE_URL that the application wants."""

    ASYNCPG = "asyncpg"
    PSYCOPG = "psycopg"
    PSYCOPG2 = "psycopg2"
    PLAIN = "plain"
