"""Where a repository keeps its Alembic revisions: by its configuration, or in the usual places. Pure."""

import configparser
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.codebase.contents import table, text_of
from orchestrator.codebase.files import config_files
from orchestrator.codebase.toml import read_toml

_INTERPOLATED = re.compile(r"%\((\w+)\)s")
_SEPARATORS: Mapping[str, str] = {"os": ":", ":": ":", ";": ";", "space": " ", "newline": "\n"}
_LONGEST_OPTION, _LONGEST_VALUE = 8192, 512
"""In characters, of an option and of what it takes from another one: an option may repeat another without end."""
_TRUE = frozenset({"true", "yes", "on", "1", "t", "y"})
_USUAL = re.compile(r"(?:.*/)?(?:alembic|migrations?|db)/versions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """The folders that hold revisions."""

    folders: tuple[str, ...] = ()
    recursive: bool = False
    """Whether their subfolders count too (`recursive_version_locations`)."""


@dataclass(frozen=True, slots=True)
class _Config:
    """The options of one configuration, and its folder."""

    folder: str
    options: Mapping[str, Any]

    def text(self, key: str) -> str:
        """An option with `%(here)s` and other options in place. Unknown ones stay as they are."""
        return self._filled(str(self.options.get(key, "")))

    def listed(self, key: str) -> list[str]:
        """An option that is a list: of a TOML file, or of words behind the separator that the file sets."""
        value = self.options.get(key)
        if isinstance(value, list):
            return [self._filled(str(item)) for item in value]
        written = self.text("path_separator") or self.text("version_path_separator")
        separator = _SEPARATORS.get(written.strip())
        text = self.text(key)
        parts = text.split(separator) if separator is not None else re.split(r",\s*|\s+", text)
        return [part.strip() for part in parts if part.strip()]

    def _filled(self, text: str) -> str:
        def value(found: re.Match[str]) -> str:
            return self.folder if found[1] == "here" else str(self.options.get(found[1], found[0]))[:_LONGEST_VALUE]

        return _INTERPOLATED.sub(value, text[:_LONGEST_OPTION])


def locations(files: Mapping[str, bytes], override: str | None = None) -> Location:
    """The folders of revisions: those of `override`, of the first configuration that has any, or the usual ones."""
    known = _folders(files)
    if override is not None:
        return Location(folders=tuple(_existing([override, posixpath.join(override, "versions")], known)[-1:]))
    for config in _configs(files):
        folders = _configured(config, known)
        if folders:
            return Location(folders=folders, recursive=config.text("recursive_version_locations").lower() in _TRUE)
    usual = sorted((folder for folder in known if _USUAL.fullmatch(folder)), key=lambda each: (each.count("/"), each))
    return Location(folders=tuple(usual[:1]))


def _configured(config: _Config, known: frozenset[str]) -> tuple[str, ...]:
    script = config.text("script_location")
    named = config.listed("version_locations") or ([posixpath.join(script, "versions")] if script else [])
    found = (_existing(_candidates(config.folder, name), known)[:1] for name in named)
    return tuple(dict.fromkeys(folder for first in found for folder in first))


def _candidates(folder: str, written: str) -> Iterator[str]:
    """Where a location may be: beside the configuration, or at the root; `package:folder` also below `src`."""
    package, colon, rest = written.partition(":")
    path = posixpath.join(package.replace(".", "/"), rest) if colon else written
    for base in (folder, ".", posixpath.join(folder, "src")):
        # A %(here)s is in front of the path already.
        yield posixpath.normpath(path if base != "." and path.startswith(f"{base}/") else posixpath.join(base, path))


def _existing(candidates: Iterable[str], known: frozenset[str]) -> list[str]:
    return [folder for folder in map(posixpath.normpath, candidates) if folder in known]


def _configs(files: Mapping[str, bytes]) -> Iterator[_Config]:
    for path in config_files(files):
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string(text_of(files, path))
        except configparser.Error:
            continue
        if parser.has_section("alembic"):
            yield _Config(posixpath.dirname(path) or ".", dict(parser["alembic"]))
    for path in sorted((path for path in files if posixpath.basename(path) == "pyproject.toml"), key=len)[:5]:
        try:
            root = read_toml(text_of(files, path))
        except ValueError:
            continue
        if options := table(root, "tool", "alembic"):
            yield _Config(posixpath.dirname(path) or ".", options)


def _folders(files: Iterable[str]) -> frozenset[str]:
    """Every folder that holds a Python file."""
    return frozenset(posixpath.dirname(path) for path in files if path.endswith(".py"))
