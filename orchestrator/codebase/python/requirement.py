"""How a package is asked for: the one grammar of a requirement, and of the tables of Poetry and Pipenv. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

MAX_EXTRAS = 50
"""Of one requirement."""
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_REQUIREMENT = re.compile(rf"\s*(?P<name>{_NAME})\s*(?:\[(?P<extras>[^\]]*)\])?\s*(?P<version>[^;#\\@]*)")
_WORD = re.compile(_NAME)
_OPTION = re.compile(r"\s--")


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A package that a list asks for, or that a lock holds."""

    name: str
    """As the packaging standard makes names equal: in lower case, with `-` between words."""
    extras: tuple[str, ...] = ()
    version: str = ""
    """As it is written: exact in a lock, a condition such as `>=2.0,<2.1`, or nothing."""
    line: int = 0
    """The one that names it; 0 where that is not known."""
    is_main: bool = True
    """Whether the application itself needs it, and not a development group or an extra that may not be asked for."""


def requirement(text: str) -> Requirement | None:
    """What a line of a list, or a string of a table, asks for; None where it is an option, a comment or a heading."""
    match = _REQUIREMENT.match(text)
    if match is None:
        return None
    extras = [normal(extra) for extra in (match["extras"] or "").split(",") if extra.strip()]
    version = _OPTION.split(match["version"], maxsplit=1)[0].strip("() \t")
    return Requirement(name=normal(match["name"]), extras=tuple(extras[:MAX_EXTRAS]), version=version)


def of_table(table: Mapping[str, Any], lines: Mapping[str, int], *, is_main: bool = True) -> Iterator[Requirement]:
    """What a table by name asks for, as Poetry and Pipenv write it: `name = version`, or the same with details."""
    for name, value in table.items():
        found = requirement(name)
        if found is None:
            continue
        details = value if isinstance(value, dict) else {"version": value}
        version, extras = details.get("version"), details.get("extras")
        yield replace(
            found,
            extras=tuple(normal(str(extra)) for extra in extras[:MAX_EXTRAS]) if isinstance(extras, list) else (),
            version=version if isinstance(version, str) else "",
            line=lines.get(found.name, 0),
            is_main=is_main and not details.get("optional"),
        )


def normal(name: str) -> str:
    """The name in the one form in which it is compared."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def named_lines(text: str) -> Mapping[str, int]:
    """The first line on which each word stands that may be a package's name, comments left out."""
    found: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        for word in _WORD.findall(line.partition("#")[0]):
            found.setdefault(normal(word), number)
    return found
