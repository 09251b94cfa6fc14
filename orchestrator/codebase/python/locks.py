"""Lock files of Python packages, read: uv.lock, poetry.lock, pdm.lock and Pipfile.lock. Pure.

Each reader raises ValueError for a text that cannot be read.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from orchestrator.codebase.contents import table
from orchestrator.codebase.python.requirement import MAX_EXTRAS, Requirement, normal, of_table
from orchestrator.codebase.toml import read_toml

_ARCHIVE = re.compile(r"^(?:sdist = .*|[ \t]*\{ ?(?:url|file) = .*)$", re.MULTILINE)
"""A line that names an archive, with its digest: most of a lock, and nothing of it is asked."""
_NAME = re.compile(r'^name = "(?P<name>[^"\n]+)"', re.MULTILINE)
_KEY = re.compile(r'"(?P<name>[^"\n]+)":\s*\{')


def of_uv_lock(text: str) -> Iterator[Requirement]:
    """All packages but the project itself. Main are those that it needs and those that they need, with their extras."""
    lock = _lock(text)
    reached = _reached(lock)
    for package, found in zip(lock, _locked(text, lock), strict=True):
        if not _is_root(package):
            extras = sorted(reached.get(found.name, ()))[:MAX_EXTRAS]
            yield replace(found, extras=tuple(map(normal, extras)), is_main=found.name in reached)


def of_poetry_lock(text: str) -> Iterator[Requirement]:
    """Those of Poetry and of PDM, which tell groups apart by `groups`; Poetry before 2 by `category`, or not at all."""
    lock = _lock(text)
    for package, found in zip(lock, _locked(text, lock), strict=True):
        groups = package.get("groups")
        is_main = not isinstance(groups, list) or "main" in groups or "default" in groups
        is_optional = package.get("optional") or package.get("category", "main") != "main"
        yield replace(found, is_main=is_main and not is_optional)


def of_pipfile_lock(text: str) -> Iterator[Requirement]:
    """Those of its two usual sections; an empty file has none."""
    try:
        root = json.loads(text or "{}")
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    lines = _lines(text, _KEY)
    yield from of_table(table(root, "default"), lines)
    yield from of_table(table(root, "develop"), lines, is_main=False)


def has_local(text: str) -> bool:
    """Whether a package of a `uv.lock` or `poetry.lock` is built from a folder of the repository, the root apart."""
    return any(_is_local(table(package, "source")) for package in _lock(text))


def _lock(text: str) -> list[dict[str, Any]]:
    found = read_toml(_ARCHIVE.sub("", text)).get("package")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _locked(text: str, packages: Iterable[Mapping[str, Any]]) -> Iterator[Requirement]:
    """As a lock names them."""
    lines = _lines(text, _NAME)
    for package in packages:
        name = normal(str(package.get("name", "")))
        yield Requirement(name=name, version=str(package.get("version", "")), line=lines.get(name, 0))


def _lines(text: str, pattern: re.Pattern[str]) -> Mapping[str, int]:
    """The first line at which the pattern finds each name."""
    found: dict[str, int] = {}
    line, end = 1, 0
    for match in pattern.finditer(text):
        line, end = line + text.count("\n", end, match.start()), match.start()
        found.setdefault(normal(match["name"]), line)
    return found


def _reached(lock: Iterable[dict[str, Any]]) -> Mapping[str, set[str]]:
    """The names that the project leads to, each with the extras that are asked for."""
    packages = {str(package.get("name")): package for package in lock}
    waiting = [(name, "") for name, package in packages.items() if _is_root(package)]
    seen = set(waiting)
    while waiting:
        name, extra = waiting.pop()
        found = set(_needed(packages.get(name, {}), extra))
        waiting.extend(found - seen)
        seen |= found
    reached: dict[str, set[str]] = {}
    for name, extra in seen:
        reached.setdefault(normal(name), set()).update([extra] if extra else [])
    return reached


def _needed(package: Mapping[str, Any], extra: str) -> Iterator[tuple[str, str]]:
    """What a package needs as it is, or for an extra of its own: names, each without and with the extras asked for."""
    found = table(package, "optional-dependencies").get(extra) if extra else package.get("dependencies")
    for each in found if isinstance(found, list) else ():
        if isinstance(each, dict):
            extras = each.get("extra")
            yield from ((str(each.get("name")), asked) for asked in ("", *(extras if isinstance(extras, list) else ())))


def _is_root(package: Mapping[str, Any]) -> bool:
    source = table(package, "source")
    return "." in (source.get("editable"), source.get("virtual"), source.get("directory"))


def _is_local(source: Mapping[str, Any]) -> bool:
    paths = [source[key] for key in ("directory", "editable", "virtual", "path") if key in source]
    return source.get("type") in ("directory", "file") or any(path != "." for path in paths)
