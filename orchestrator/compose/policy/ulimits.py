"""`ulimits` of a service or a build, held down to what a preview may have.

Pure; `readers` and `build` call it.
"""

from collections.abc import Mapping

from orchestrator.compose.model import Ulimit
from orchestrator.compose.syntax.casts import integer, mapping, nearest, refuse
from orchestrator.compose.syntax.load import Node

MAX_ULIMITS: Mapping[str, int] = {
    "core": 0,
    "fsize": 2**40,
    "memlock": 64 * 1024**2,
    "nofile": 1024**2,
    "nproc": 4096,
    "stack": 64 * 1024**2,
}
"""The most that each may be. What is not here keeps the Engine's own limit."""
_UNLIMITED = -1


def read_ulimits(node: Node) -> Mapping[str, Ulimit]:
    """Each limit by its name, no higher than a preview may have."""
    return {name: _ulimit(name, child) for name, child in mapping(node).items()}


def _ulimit(name: str, node: Node) -> Ulimit:
    if name not in MAX_ULIMITS:
        remedy = nearest(name, MAX_ULIMITS) or f"Use one of {', '.join(MAX_ULIMITS)}."
        raise refuse(node, f"the limit `{name}` cannot be set in a preview", remedy)
    found = mapping(node)
    if "single" in found:
        found = {"soft": found["single"], "hard": found["single"]}
    soft, hard = (_held_down(found[key], MAX_ULIMITS[name]) for key in ("soft", "hard"))
    if soft > hard:
        raise refuse(node, f"the soft limit {soft} is above the hard limit {hard}", "Lower `soft`.")
    return Ulimit(soft=soft, hard=hard)


def _held_down(node: Node, most: int) -> int:
    wanted = integer(node, _UNLIMITED, 2**62)
    return most if wanted == _UNLIMITED else min(wanted, most)
