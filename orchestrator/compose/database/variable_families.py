"""Variables that name a Postgres server in parts, such as POSTGRES_HOST with POSTGRES_USER, or PGHOST. Pure.

A family is what stands before its word: `APP_DB_` of APP_DB_HOST. Its host decides whether it is ours.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.compose.database.urls import DatabaseUrls


class Part(StrEnum):
    """What a variable of a family holds."""

    HOST = "host"
    PORT = "port"
    USER = "user"
    PASSWORD = "password"  # noqa: S105 - a word
    DATABASE = "database"


FILE = "_FILE"
"""Ends the name of a variable that holds the path of a file with the value: a convention of Docker's images."""
_WORDS: Mapping[Part, tuple[str, ...]] = {
    Part.HOST: ("HOST", "HOSTNAME", "SERVER", "ADDR", "ADDRESS"),
    Part.PORT: ("PORT",),
    Part.USER: ("USER", "USERNAME", "USER_NAME"),
    Part.PASSWORD: ("PASSWORD", "PASS", "PASSWD", "PWD"),
    Part.DATABASE: ("DB", "NAME", "DATABASE", "DBNAME", "DB_NAME", "DATABASE_NAME"),
}
_HOST = re.compile(rf"(?P<stem>.*?)(?:{'|'.join(_WORDS[Part.HOST])})(?P<suffix>_.+)?", re.IGNORECASE)
_PASSWORD = re.compile(rf"(?P<stem>.*?)(?:{'|'.join(_WORDS[Part.PASSWORD])})(?:{FILE})?", re.IGNORECASE)
_OF_POSTGRES = re.compile(
    r"(?!.*(?:MY|MS)SQL|.*(?:MONGO|MARIA|MYSQL|INFLUX|COUCH|ARANGO|DYNAMO|SURREAL|CLICKHOUSE|REDIS|NEO4J|ORACLE))"
    r".*(?:PG|PSQL|PGSQL|POSTGRES|POSTGRESQL|POSTGRESDB|DB|DATABASE|DATASOURCE|RDS|SQL)(?:_URL)?_*",
    re.IGNORECASE,
)
_CONVENTIONS: Mapping[str, Mapping[Part, str]] = {
    "PG": {Part.PORT: "PORT", Part.USER: "USER", Part.PASSWORD: "PASSWORD", Part.DATABASE: "DATABASE"},
    "POSTGRES_": {Part.PORT: "PORT", Part.USER: "USER", Part.PASSWORD: "PASSWORD", Part.DATABASE: "DB"},
    "DB_": {Part.PORT: "PORT", Part.USER: "USER", Part.PASSWORD: "PASSWORD", Part.DATABASE: "NAME"},
    "DATABASE_": {Part.PORT: "PORT", Part.USER: "USER", Part.PASSWORD: "PASSWORD", Part.DATABASE: "NAME"},
    "SQL_": {Part.PORT: "PORT", Part.USER: "USER", Part.PASSWORD: "PASSWORD", Part.DATABASE: "DATABASE"},
}
"""By the end of a family's name: the words that everybody uses in it. Missing ones are added for these families."""
_LOGIN = (Part.USER, Part.PASSWORD, Part.DATABASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Family:
    stem: str
    """What stands before the word, such as `POSTGRES_` or `PG`."""
    suffix: str = ""
    """What stands after it, such as `_READONLY`."""

    @property
    def is_of_postgres(self) -> bool:
        return _OF_POSTGRES.fullmatch(self.stem) is not None

    def members(self, names: Mapping[str, str]) -> Iterator[tuple[str, Part]]:
        """Its variables out of `names`, which are by upper case."""
        for part, words in _WORDS.items():
            for word in words:
                for ending in ("", FILE):
                    name = f"{self.stem}{word}{self.suffix}{ending}".upper()
                    if name in names:
                        yield names[name], part


def family_members(environment: Mapping[str, str], hosts: frozenset[str], *, uses_server: bool) -> Mapping[str, Part]:
    """The variables that belong to a family whose host is in `hosts`, and what each holds.

    A host without a login of its own takes the one of a family that has no host, as DB_HOST beside POSTGRES_USER.
    Where the service uses the replaced server in another way (`uses_server`), such a login is enough: the host is
    then a default in the code.
    """
    names = {name.upper(): name for name in environment}
    led = _led_here(environment, names, hosts)
    found = {name: part for family in led for name, part in family.members(names)}
    if (led or uses_server) and Part.PASSWORD not in found.values():
        found |= {name: part for family in _hostless(names) for name, part in family.members(names)}
    return found


def missing_members(environment: Mapping[str, str], found: Mapping[str, Part]) -> Mapping[str, Part]:
    """The variables that complete the families of `found`, where it is clear how they are called."""
    added: dict[str, Part] = {}
    for name, part in found.items():
        match = _HOST.fullmatch(name) if part is Part.HOST else None
        if match is None or match["suffix"]:
            continue
        stem = match["stem"]
        family = dict(_Family(stem=stem).members({other.upper(): other for other in environment}))
        for missing, word in _convention(stem).items():
            is_there = missing in (found.values() if missing in _LOGIN else family.values())
            if not is_there:
                added[stem + (word.lower() if stem.islower() else word)] = missing
    return added


def names_a_host(variable: str) -> bool:
    """Whether the variable looks like the host of a Postgres server."""
    match = _HOST.fullmatch(variable)
    return match is not None and _Family(stem=match["stem"]).is_of_postgres


def secret_names(names: Iterable[str]) -> frozenset[str]:
    """Those variables that hold a password of their family."""
    return frozenset(name for name in names if _PASSWORD.fullmatch(name) is not None)


def own_part(part: Part, own: DatabaseUrls, written: str = "") -> str:
    """What the variable holds for the preview's own database. `written` tells whether a host comes with its port."""
    match part:
        case Part.HOST:
            return own.address if ":" in written else own.host
        case Part.PORT:
            return str(own.port)
        case Part.USER:
            return own.user
        case Part.PASSWORD:
            return own.password
        case Part.DATABASE:
            return own.database


def _led_here(environment: Mapping[str, str], names: Mapping[str, str], hosts: frozenset[str]) -> list[_Family]:
    found = []
    for variable, value in environment.items():
        match = _HOST.fullmatch(variable)
        if match is None or not match["stem"] or value.strip().partition(":")[0].lower() not in hosts:
            continue
        family = _Family(stem=match["stem"], suffix=match["suffix"] or "")
        if family.is_of_postgres or Part.PASSWORD in dict(family.members(names)).values():
            found.append(family)
    return found


def _hostless(names: Mapping[str, str]) -> Iterator[_Family]:
    """The families of Postgres that have a login, and leave the host to something else."""
    for name in names:
        match = _PASSWORD.fullmatch(name)
        family = _Family(stem=match["stem"]) if match is not None else None
        if family is not None and family.is_of_postgres:
            parts = set(dict(family.members(names)).values())
            if Part.HOST not in parts and not parts.isdisjoint((Part.USER, Part.DATABASE)):
                yield family


def _convention(stem: str) -> Mapping[Part, str]:
    return next((words for end, words in _CONVENTIONS.items() if stem.upper().endswith(end)), {Part.PORT: "PORT"})
