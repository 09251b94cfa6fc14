"""The `x-preview` block: what a repository tells previewd beside the Compose language.

Pure; `stack` calls it. Its form is the contract that README shows; an unknown key is refused with the nearest.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from orchestrator.codebase.python.packages import Driver
from orchestrator.compose.model import CommitImage, DatabaseBlock, DatabaseMode, Encoding, PreviewBlock, Reset, Template
from orchestrator.compose.project.paths import inside
from orchestrator.compose.project.project import extension
from orchestrator.compose.syntax.casts import check_keys, choice, duration, integer, items, mapping, refuse, text
from orchestrator.compose.syntax.load import Node

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEALTH = re.compile(r"/(?!/)[!-~]*")
"""A path of this host: with two slashes in front it would name another one."""


_NO_EFFECT_YET: Mapping[str, str] = {
    "ttl": "a preview stays until its pull request is closed",
    "sleep": "a preview goes on running while nobody visits it",
}
"""Keys that are read, and what holds instead of what they say."""


def read_preview(node: Node) -> PreviewBlock:
    """The block, with every value checked. What it does not say stays None and is found out later."""
    return PreviewBlock(**_fields(node, _PREVIEW))


def named_services(block: Node | None) -> frozenset[str]:
    """The services that the block names, whatever else is wrong with it: they start with no profile active, too."""
    found = _pairs(block)
    named = (found.get("service"), _pairs(found.get("database")).get("service"))
    return frozenset(node.value for node in named if node is not None and isinstance(node.value, str))


def without_effect(block: Node | None) -> Iterator[str]:
    """A note for each key that nothing acts upon yet: silence would be taken for a promise."""
    found = _pairs(block)
    for key, instead in _NO_EFFECT_YET.items():
        if key in found and found[key].value is not None:
            yield f"{found[key].place}: `{key}` is understood, but has no effect yet: {instead}."


def declared_secrets(files: Mapping[str, bytes], path: str) -> tuple[str, ...]:
    """`x-preview.secrets` of the project at `path`: read ahead of the rest, which may already use them."""
    block = extension(files, path, "x-preview")
    listed = None if block is None or block.value is None else mapping(block).get("secrets")
    return () if listed is None or listed.value is None else _secrets(listed)


def _pairs(node: Node | None) -> Mapping[str, Node]:
    return node.value if node is not None and isinstance(node.value, dict) else {}


def _fields(node: Node, readers: Mapping[str, Callable[[Node], object]]) -> dict[str, Any]:
    check_keys(node, readers)
    found = mapping(node)
    return {key: reader(found[key]) for key, reader in readers.items() if key in found and found[key].value is not None}


def _health(node: Node) -> str:
    path = text(node)
    if _HEALTH.fullmatch(path) is None:
        raise refuse(node, f"`{path}` is not a path", "Write a path that starts with /, such as /health.")
    return path


def _variable(node: Node, name: str) -> str:
    if _VARIABLE.fullmatch(name) is None:
        raise refuse(node, f"`{name}` is not a variable's name", "Use letters, digits and _.")
    return name


def _encode(node: Node) -> Mapping[str, Encoding]:
    found = mapping(node, "CORS_ORIGINS: json")
    return {_variable(child, name): choice(child, Encoding) for name, child in found.items()}


def _secrets(node: Node) -> tuple[str, ...]:
    return tuple(_variable(item, text(item)) for item in items(node, "- SESSION_SECRET"))


def _positive(node: Node) -> float:
    seconds = duration(node)
    if seconds <= 0:
        raise refuse(node, "this must be longer than nothing", "Write a duration such as 30m or 72h.")
    return seconds


_DATABASE: Mapping[str, Callable[[Node], object]] = {
    "mode": lambda node: choice(node, DatabaseMode),
    "service": text,
    "driver": lambda node: choice(node, Driver),
    "template": lambda node: choice(node, Template),
    "reset": lambda node: choice(node, Reset),
    "migrations": lambda node: inside(node, text(node), ""),
    "scrub": lambda node: inside(node, text(node), ""),
}
_PREVIEW: Mapping[str, Callable[[Node], object]] = {
    "service": text,
    "port": lambda node: integer(node, 1, 65_535),
    "health": _health,
    "database": lambda node: DatabaseBlock(**_fields(node, _DATABASE)),
    "encode": _encode,
    "secrets": _secrets,
    "image": lambda node: choice(node, CommitImage),
    "ttl": _positive,
    "sleep": _positive,
}
