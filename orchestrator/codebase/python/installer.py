"""What an application is installed from: the file that counts of those that it has, and what is known from it."""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from orchestrator.codebase.files import table, text, toml
from orchestrator.codebase.python.project_packages import (
    is_local,
    of_pipfile,
    of_poetry_lock,
    of_project,
    of_uv_lock,
    required,
)
from orchestrator.codebase.python.version import python_version

REQUIREMENTS = (
    "requirements.txt",
    "requirements/production.txt",
    "requirements/prod.txt",
    "requirements/base.txt",
    "requirements/main.txt",
    "requirements/requirements.txt",
    "requirements-prod.txt",
)
LOOKED_FOR = ("uv.lock", "poetry.lock", "Pipfile.lock", "Pipfile", *REQUIREMENTS, "pyproject.toml", "setup.py")
"""The files that name dependencies, in the order in which they count: locks first."""
_INCLUDE = re.compile(r"(?:-r|-c|--requirement|--constraint)[\s=]*(\S+)")
_LOCAL = re.compile(r"(?:-e|--editable)\b|\.{0,2}/|\.(?:\[|\s|$)|[\w.\[\]-]+\s*@\s*file:|file:")


class Installer(StrEnum):
    """What installs them."""

    UV = "uv"
    POETRY = "poetry"
    PIPENV = "pipenv"
    PIP = "pip"
    """From requirement lists."""
    PROJECT = "pyproject"
    """From the dependencies that `pyproject.toml` lists, the project itself left out."""
    SOURCE = "source"
    """By building the project: only its build knows what it needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """What is installed, and how."""

    installer: Installer
    files: tuple[str, ...]
    """All that the installer reads; the first is the one that people know it by."""
    names: frozenset[str]
    """The packages that are known to come in."""
    python: str
    """`3.N`."""
    needs_code: bool = False
    """Whether something is installed from a folder of the repository."""
    needs_git: bool = False
    scripts: Mapping[str, str] = field(default_factory=dict)
    """`[project.scripts]`: programs that exist once the project itself is installed."""


def dependencies(files: Mapping[str, bytes]) -> Dependencies | None:
    """None where no file names any. Raises AuthorError for one that cannot be read."""
    project = toml(files, "pyproject.toml")
    found = _locked(files, project) or _listed(files, project)
    if found is None:
        return None
    installer, paths, names, needs_code = found
    return Dependencies(
        installer=installer,
        files=paths,
        names=names,
        python=python_version(files),
        needs_code=needs_code,
        needs_git=any("git+" in text(files, path) or "git = " in text(files, path) for path in paths),
        scripts={str(name): str(at) for name, at in table(project, "project", "scripts").items()},
    )


_Found = tuple[Installer, tuple[str, ...], frozenset[str], bool]


def _locked(files: Mapping[str, bytes], project: dict[str, Any]) -> _Found | None:
    own = of_project(project)
    if "uv.lock" in files and project:
        lock = toml(files, "uv.lock")
        return Installer.UV, ("uv.lock", "pyproject.toml"), own | of_uv_lock(lock), _has_local(lock)
    if "poetry.lock" in files and project:
        lock = toml(files, "poetry.lock")
        return Installer.POETRY, ("poetry.lock", "pyproject.toml"), own | of_poetry_lock(lock), _has_local(lock)
    if "Pipfile" in files:
        paths = tuple(path for path in ("Pipfile.lock", "Pipfile") if path in files)
        return Installer.PIPENV, paths, of_pipfile(files), False
    return None


def _listed(files: Mapping[str, bytes], project: dict[str, Any]) -> _Found | None:
    listed = next((path for path in REQUIREMENTS if path in files), None)
    if listed is not None:
        paths = _with_includes(files, listed)
        lines = [line for path in paths for line in _lines(files, path)]
        local = any(_LOCAL.match(line) for line in lines)
        return Installer.PIP, paths, required(line for line in lines if not line.startswith("-")), local
    if "dependencies" in table(project, "project"):
        return Installer.PROJECT, ("pyproject.toml",), of_project(project), False
    if "dependencies" in table(project, "tool", "poetry"):
        return Installer.POETRY, ("pyproject.toml",), of_project(project), False
    if "setup.py" in files or "project" in project:
        paths = tuple(path for path in ("pyproject.toml", "setup.py", "setup.cfg") if path in files)
        return Installer.SOURCE, paths, _quoted_names(files), True
    return None


def _has_local(lock: Mapping[str, Any]) -> bool:
    packages = lock.get("package")
    return isinstance(packages, list) and any(isinstance(each, dict) and is_local(each) for each in packages)


def _with_includes(files: Mapping[str, bytes], listed: str) -> tuple[str, ...]:
    """The list, and those that it includes. One outside of the folder is left out: the build will name it."""
    found = [listed]
    for path in found:
        for line in _lines(files, path):
            if (match := _INCLUDE.match(line)) is not None:
                included = posixpath.normpath(posixpath.join(posixpath.dirname(path), match[1]))
                if included in files and included not in found:
                    found.append(included)
    return tuple(found)


def _lines(files: Mapping[str, bytes], path: str) -> Iterator[str]:
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in text(files, path).splitlines())
    return (line for line in lines if line)


def _quoted_names(files: Mapping[str, bytes]) -> frozenset[str]:
    """The requirements that a `setup.py` or `setup.cfg` holds, as far as words at their usual places tell."""
    words = re.findall(r"""["']([A-Za-z][^"'\n]*)["']""", text(files, "setup.py"))
    return required([*words, *_lines(files, "setup.cfg")])
