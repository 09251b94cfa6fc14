"""The files that Compose files name: what is worth fetching together, before any of them is needed.

Pure; the worker calls it. A path that is missed here is asked for by the reading itself, and one too many does no
harm: neither changes what is read in the end.
"""

import posixpath
from collections.abc import Container, Iterator, Mapping

from orchestrator.compose.syntax.interpolate import interpolated
from orchestrator.compose.syntax.load import Node, load, without_resets
from orchestrator.preview.errors import ComposeError

_NAMING = frozenset({"env_file", "extends", "include"})
"""The keys below which every string may be the path of a file that the project is read from."""
_BESIDE = (
    ".env",
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)


_AT_ONCE = 50
"""Files in one answer: whoever fetches them holds them all in memory."""


def named_files(paths: Container[str], fetched: Mapping[str, bytes]) -> frozenset[str]:
    """Those of the repository's `paths` that the `fetched` Compose files name, and that are not fetched themselves.

    Not too many at once: the rest is named again in the next answer.
    """
    found: dict[str, None] = {}
    for file, data in fetched.items():
        folder = posixpath.dirname(file)
        for written in (*_BESIDE, *_written(file, data)):
            for base in (folder, ""):
                path = posixpath.normpath(posixpath.join(base, written))
                if path in paths and path not in fetched and len(found) < _AT_ONCE:
                    found.setdefault(path)
    return frozenset(found)


def _written(file: str, data: bytes) -> Iterator[str]:
    """Every path that the file names, variables without a value taken as empty; none where it cannot be read."""
    if not file.endswith((".yaml", ".yml")):
        return iter(())
    try:
        return _below(interpolated(without_resets(load(data, file)), {}, [])[0], naming=False)
    except ComposeError:
        return iter(())


def _below(node: Node, *, naming: bool) -> Iterator[str]:
    if isinstance(node.value, dict):
        for key, child in node.value.items():
            yield from _below(child, naming=naming or key in _NAMING)
    elif isinstance(node.value, tuple):
        for child in node.value:
            yield from _below(child, naming=naming)
    elif naming and isinstance(node.value, str):
        yield node.value
