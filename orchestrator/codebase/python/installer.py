"""What an application is installed from: the file that counts of those that it has, and what is known from it."""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from orchestrator.codebase.contents import table, toml, whole_text
from orchestrator.codebase.python.locks import has_local
from orchestrator.codebase.python.packages import Packages, installed_packages
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
class Installation:
    """What is installed, and how."""

    installer: Installer
    files: tuple[str, ...]
    """All that the installer reads; the first is the one that people know it by."""
    packages: Packages
    """Those that are known to come in."""
    python: str
    """`3.N`."""
    needs_code: bool = False
    """Whether something is installed from a folder of the repository."""
    needs_git: bool = False
    scripts: Mapping[str, str] = field(default_factory=dict)
    """`[project.scripts]`: programs that exist once the project itself is installed."""


def installation(files: Mapping[str, bytes]) -> Installation | None:
    """None where no file names what to install. Raises AuthorError for one that cannot be read."""
    project = toml(files, "pyproject.toml")
    found = _locked(files, project) or _listed(files, project)
    if found is None:
        return None
    installer, paths = found
    return Installation(
        installer=installer,
        files=paths,
        packages=installed_packages(files, paths),
        python=python_version(files),
        needs_code=_needs_code(files, installer, paths),
        needs_git=any("git+" in whole_text(files, path) or "git = " in whole_text(files, path) for path in paths),
        scripts={str(name): str(at) for name, at in table(project, "project", "scripts").items()},
    )


def _locked(files: Mapping[str, bytes], project: dict[str, Any]) -> tuple[Installer, tuple[str, ...]] | None:
    if "uv.lock" in files and project:
        return Installer.UV, ("uv.lock", "pyproject.toml")
    if "poetry.lock" in files and project:
        return Installer.POETRY, ("poetry.lock", "pyproject.toml")
    if "Pipfile" in files:
        return Installer.PIPENV, _present(files, "Pipfile.lock", "Pipfile")
    return None


def _listed(files: Mapping[str, bytes], project: dict[str, Any]) -> tuple[Installer, tuple[str, ...]] | None:
    listed = next(iter(_present(files, *REQUIREMENTS)), None)
    if listed is not None:
        return Installer.PIP, _with_includes(files, listed)
    if "dependencies" in table(project, "project"):
        return Installer.PROJECT, ("pyproject.toml",)
    if "dependencies" in table(project, "tool", "poetry"):
        return Installer.POETRY, ("pyproject.toml",)
    if "setup.py" in files or "project" in project:
        return Installer.SOURCE, _present(files, "pyproject.toml", "setup.py", "setup.cfg")
    return None


def _present(files: Mapping[str, bytes], *paths: str) -> tuple[str, ...]:
    return tuple(path for path in paths if path in files)


def _needs_code(files: Mapping[str, bytes], installer: Installer, paths: tuple[str, ...]) -> bool:
    match installer:
        case Installer.SOURCE:
            return True
        case Installer.PIP:
            return any(_LOCAL.match(line) for path in paths for line in _lines(files, path))
        case _:
            return paths[0] in ("uv.lock", "poetry.lock") and has_local(whole_text(files, paths[0]))


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
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in whole_text(files, path).splitlines())
    return (line for line in lines if line)
