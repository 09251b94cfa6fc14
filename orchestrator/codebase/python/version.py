"""The Python that an application asks for, as the minor version whose image is built from."""

import re
from collections.abc import Mapping

from orchestrator.codebase.contents import table, toml, whole_text

DEFAULT = 13
"""Of Python 3. It has security fixes until October 2029, and every maintained package has wheels for it by now."""
_KNOWN = (DEFAULT, *range(DEFAULT - 1, 8, -1), *range(DEFAULT + 1, 16))
"""The first that is allowed is taken: the default, else the next older one, else a newer one."""
_PINNED = re.compile(r"(?:c?python-)?3\.(\d{1,2})(?:\.\d+)?", re.IGNORECASE)
_CLAUSE = re.compile(r"(?P<sign>===?|!=|>=|<=|~=|<|>|\^|~|)\s*3(?:\.(?P<minor>\d{1,2}))?(?:\.(?P<patch>\d+|\*))?")


def python_version(files: Mapping[str, bytes]) -> str:
    """`3.N`: pinned by `.python-version`, `runtime.txt` or the Pipfile, else what the project's range allows."""
    first_lines = (_first_line(whole_text(files, path)) for path in (".python-version", "runtime.txt"))
    pinned = (*first_lines, _of_pipfile(files))
    for written in pinned:
        if (match := _PINNED.fullmatch(written)) is not None:
            return f"3.{match[1]}"
    ranges = _range(files)
    minor = next((minor for minor in _KNOWN if _allows(ranges, minor)), DEFAULT)
    return f"3.{minor}"


def _first_line(written: str) -> str:
    lines = (line.partition("#")[0].strip() for line in written.splitlines())
    return next((line for line in lines if line), "")


def _of_pipfile(files: Mapping[str, bytes]) -> str:
    requires = table(toml(files, "Pipfile"), "requires")
    return str(requires.get("python_full_version") or requires.get("python_version") or "")


def _range(files: Mapping[str, bytes]) -> str:
    project = toml(files, "pyproject.toml")
    poetry = table(project, "tool", "poetry", "dependencies").get("python")
    return str(table(project, "project").get("requires-python") or poetry or "")


def _allows(ranges: str, minor: int) -> bool:
    """Both ways of writing a range: of the packaging standard, and of Poetry (`^`, `~`, `||`)."""
    return any(
        all(_holds(clause.strip(), minor) for clause in each.split(","))
        for each in ranges.replace("||", "|").split("|")
    )


def _holds(clause: str, minor: int) -> bool:
    """A patch release is not looked at, but for `<`: images have the newest one."""
    match = _CLAUSE.fullmatch(clause)
    if match is None or match["minor"] is None:
        return True
    asked, patch = int(match["minor"]), match["patch"]
    match match["sign"]:
        case ">=" | ">" | "^":
            return minor >= asked
        case "<" | "<=":
            return minor < asked
        case "!=":
            return minor != asked or patch not in (None, "*")
        case "~=" if patch is None:
            return minor >= asked
        case _:
            return minor == asked
