"""Which packages a repository names, or an installation holds, and which of them talk to Postgres. Pure.

`drivers` and the forms of a stack's URLs ask what the repository names anywhere, and where; `installer` asks what one
installation will hold. Both get it from the same readers, and the same answer which driver it is.
"""

import contextlib
import posixpath
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice

from orchestrator.codebase.contents import text_of, whole_text
from orchestrator.codebase.files import dependency_files
from orchestrator.codebase.python.lists import of_lines, of_pipfile, of_pyproject, of_setup
from orchestrator.codebase.python.locks import of_pipfile_lock, of_poetry_lock, of_uv_lock
from orchestrator.codebase.python.requirement import Requirement
from orchestrator.preview.errors import AuthorError, Place

MAX_LIST_BYTES = 1024 * 1024
MAX_PACKAGES = 2000
"""Of one list."""
_READERS: Mapping[str, Callable[[str], Iterator[Requirement]]] = {
    "uv.lock": of_uv_lock,
    "poetry.lock": of_poetry_lock,
    "pdm.lock": of_poetry_lock,
    "Pipfile.lock": of_pipfile_lock,
    "Pipfile": of_pipfile,
    "pyproject.toml": of_pyproject,
    "setup.py": of_setup,
}
"""By the file's name; all others hold a requirement on each line."""
_REMEDIES = {"uv.lock": "run `uv lock`", "poetry.lock": "run `poetry lock`", "Pipfile.lock": "run `pipenv lock`"}
_BROUGHT: Mapping[str, tuple[str, ...]] = {
    "advanced-alchemy": ("sqlalchemy",),
    "aiopg": ("psycopg2-binary",),
    "alembic": ("sqlalchemy",),
    "databases[aiopg]": ("aiopg", "psycopg2-binary"),
    "databases[asyncpg]": ("asyncpg",),
    "databases[postgresql]": ("asyncpg",),
    "fastapi[all]": ("uvicorn",),
    "fastapi[standard]": ("uvicorn",),
    "fastapi[standard-no-fastapi-cloud-cli]": ("uvicorn",),
    "fastapi-users[sqlalchemy]": ("sqlalchemy",),
    "fastapi-users-db-sqlalchemy": ("sqlalchemy",),
    "flask-migrate": ("sqlalchemy",),
    "flask-sqlalchemy": ("sqlalchemy",),
    "litestar[standard]": ("uvicorn",),
    "quart": ("hypercorn",),
    "sqlalchemy[postgresql]": ("psycopg2",),
    "sqlalchemy[postgresql-asyncpg]": ("asyncpg",),
    "sqlalchemy[postgresql-pg8000]": ("pg8000",),
    "sqlalchemy[postgresql-psycopg]": ("psycopg",),
    "sqlalchemy[postgresql-psycopg2binary]": ("psycopg2-binary",),
    "sqlalchemy[postgresql-psycopgbinary]": ("psycopg", "psycopg[binary]"),
    "sqlmodel": ("sqlalchemy",),
    "tortoise-orm[asyncpg]": ("asyncpg",),
    "tortoise-orm[psycopg]": ("psycopg",),
}
"""What comes with a package, where no lock says it: only what decides something here."""
_DRIVERS: Mapping[str, tuple[str, ...]] = {
    "asyncpg": ("asyncpg",),
    "psycopg2": ("psycopg2", "psycopg2-binary"),
    "psycopg": ("psycopg", "psycopg-binary", "psycopg-c"),
    "psycopg2cffi": ("psycopg2cffi",),
    "pg8000": ("pg8000",),
}
"""The drivers of Postgres as SQLAlchemy's URLs name them, each with the packages that are one."""
_SYNC = tuple(name for name in _DRIVERS if name != "asyncpg")
_EXACT = re.compile(r"(?:===?\s*)?(?P<version>\d{1,9}\.\d{1,9})[\w.]*")
_OLD = re.compile(
    r"<\s*2\.1(?:\.0)?(?:[a-z]\w*)?\s*(?:,|$)|~=\s*2\.0\.\d|<\s*2(?:\.0)*\s*(?:,|$)|==\s*(?:1|2\.0)\.\S*|~2\.0|\^1"
)
_NEW = re.compile(r"(?:>=?|==|~=|\^)\s*2\.(?:[1-9]|\d\d)")


class Driver(StrEnum):
    """The form of DATABASE_URL that the application wants."""

    ASYNCPG = "asyncpg"
    PSYCOPG = "psycopg"
    PSYCOPG2 = "psycopg2"
    PLAIN = "plain"

    @property
    def scheme(self) -> str:
        """Of the URL, such as `postgresql+asyncpg`."""
        return "postgresql" if self is Driver.PLAIN else f"postgresql+{self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One that is asked for."""

    place: Place
    version: str = ""
    """As it is written, the most exact that there is: see `Requirement`."""
    is_main: bool = True
    """Whether the application itself needs it, and not only its development."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packages:
    """Packages by their normal names; an extra stands beside its package, as `package[extra]`."""

    named: Mapping[str, Package] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.named)

    def has(self, name: str) -> bool:
        return name in self.named

    @property
    def drivers(self) -> Mapping[str, str]:
        """The drivers of Postgres that are there, as SQLAlchemy's URLs name them, each with the package that it is."""
        found = {driver: [name for name in names if name in self.named] for driver, names in _DRIVERS.items()}
        return {
            driver: next((name for name in names if self.named[name].is_main), names[0])
            for driver, names in found.items()
            if names
        }

    @property
    def driver(self) -> str | None:
        """The application's: asyncpg where it is there, since others are then mostly for Alembic; None without any."""
        return "asyncpg" if "asyncpg" in self._needed(_DRIVERS) else self.sync_driver

    @property
    def database(self) -> str:
        """What people are told of the driver."""
        return f"Postgres by {self.drivers[self.driver]}" if self.driver else "no Postgres driver"

    @property
    def sync_driver(self) -> str | None:
        """The driver of a synchronous engine; None where there is none, or nothing is known."""
        found = self._needed(_SYNC)
        return "psycopg" if _both(found) and self._bare_driver() == "psycopg" else next(iter(found), None)

    @property
    def sync_scheme(self) -> str:
        """The URL's scheme for it. A bare `postgresql` where SQLAlchemy takes that for a driver that there is."""
        driver = self.sync_driver
        is_bare = driver is None or driver == self._bare_driver() or _both(self._needed(_SYNC))
        return "postgresql" if is_bare else f"postgresql+{driver}"

    @property
    def async_scheme(self) -> str:
        """The scheme for an asynchronous engine."""
        return f"postgresql+{next(iter(self._needed(('asyncpg', 'psycopg'))), 'asyncpg')}"

    def _needed(self, drivers: Collection[str]) -> list[str]:
        """Those of them that the application itself needs; all that are named where it needs none."""
        found = {driver: self.named[name] for driver, name in self.drivers.items() if driver in drivers}
        return [driver for driver, package in found.items() if package.is_main] or list(found)

    def _bare_driver(self) -> str | None:
        """What `postgresql://` means: psycopg2 to SQLAlchemy 2.0 and older, psycopg from 2.1. None where unknown."""
        version = self.named["sqlalchemy"].version if "sqlalchemy" in self.named else ""
        exact = _EXACT.fullmatch(version)
        if exact is not None:
            return "psycopg" if tuple(map(int, exact["version"].split("."))) >= (2, 1) else "psycopg2"
        if _OLD.search(version):
            return "psycopg2"
        return "psycopg" if _NEW.search(version) else None


def read_packages(files: Mapping[str, bytes], paths: Iterable[str]) -> Packages:
    """All that the lists and locks among `paths` name, with where. A list that cannot be read names none."""
    found: list[tuple[str, Requirement]] = []
    for path in dependency_files(paths):
        with contextlib.suppress(ValueError):
            found.extend((path, each) for each in _read(path, text_of(files, path, MAX_LIST_BYTES)))
    return _gathered(found)


def installed_packages(files: Mapping[str, bytes], lists: Iterable[str]) -> Packages:
    """What comes in from these lists and locks. Raises AuthorError for one that cannot be read."""
    found: list[tuple[str, Requirement]] = []
    for path in lists:
        try:
            found.extend((path, each) for each in _read(path, whole_text(files, path)) if each.is_main)
        except ValueError as error:
            remedy = _REMEDIES.get(posixpath.basename(path), "correct it")
            raise AuthorError(f"{path} cannot be read: {error}", remedy) from None
    return _gathered(found)


def _read(path: str, written: str) -> Iterator[Requirement]:
    return islice(_READERS.get(posixpath.basename(path), of_lines)(written), MAX_PACKAGES)


def _gathered(found: Iterable[tuple[str, Requirement]]) -> Packages:
    named: dict[str, Package] = {}
    for path, each in found:
        package = Package(place=Place(file=path, line=each.line), version=each.version, is_main=each.is_main)
        for name in (each.name, *(f"{each.name}[{extra}]" for extra in each.extras)):
            named[name] = _joined(named.get(name), package)
            for brought in _BROUGHT.get(name, ()):
                named[brought] = _joined(named.get(brought), replace(package, version=""))
    return Packages(named=named)


def _joined(known: Package | None, package: Package) -> Package:
    """Of two that name the same, the one that says more exactly which: a lock, then a condition."""
    if known is None:
        return package
    better = package if _exactness(package) > _exactness(known) else known
    return replace(better, is_main=known.is_main or package.is_main)


def _exactness(package: Package) -> tuple[bool, bool]:
    return _EXACT.fullmatch(package.version) is not None, bool(package.version)


def _both(drivers: Collection[str]) -> bool:
    """Whether there is a driver whatever SQLAlchemy takes a bare `postgresql://` for."""
    return {"psycopg2", "psycopg"} <= set(drivers)
