"""`build` of a service: a folder of the repository and how an image is made from it.

Pure; `service` calls it. Every path is resolved here, so nothing later can leave the repository.
"""

import posixpath
from collections.abc import Mapping

from orchestrator.compose.load import Node
from orchestrator.compose.model import Build
from orchestrator.compose.paths import inside
from orchestrator.compose.policy import BUILD, judge
from orchestrator.compose.scalars import boolean, items, pairs, refuse, scalar_text, size, text

MAX_SHM = 1024**3
_FORBIDDEN_ARGS = frozenset({"BUILDKIT_SYNTAX"})


def read_build(node: Node, folder: str, variables: Mapping[str, str]) -> tuple[Build, tuple[str, ...]]:
    """The build, and notes on what is left out. The short form is the context alone."""
    if isinstance(node.value, str):
        return Build(context=inside(node, node.value, folder)), ()
    keys, notes = judge("build", node, BUILD)
    found = {key: child for key, child in pairs(node).items() if key in keys}
    context = inside(found["context"], text(found["context"]), folder) if "context" in found else folder or "."
    if "network" in found:
        _check_network(found["network"])
    return Build(
        context=context,
        dockerfile=_dockerfile(found["dockerfile"], context) if "dockerfile" in found else "Dockerfile",
        dockerfile_inline=text(found["dockerfile_inline"]) if "dockerfile_inline" in found else None,
        args=_args(found["args"], variables) if "args" in found else {},
        target=text(found["target"]) if "target" in found else None,
        platform=_platform(found["platforms"]) if "platforms" in found else None,
        no_cache="no_cache" in found and boolean(found["no_cache"]),
        pull="pull" in found and boolean(found["pull"]),
        shm_size=min(size(found["shm_size"]), MAX_SHM) if "shm_size" in found else None,
    ), notes


def _dockerfile(node: Node, context: str) -> str:
    path = posixpath.relpath(inside(node, text(node), context), context)
    if path.startswith("../"):
        raise refuse(
            node,
            "previewd does not read a Dockerfile outside the build's context yet",
            "Move it into the context, or make the context a folder that holds both.",
        )
    return path


def _args(node: Node, variables: Mapping[str, str]) -> Mapping[str, str]:
    """A name without a value comes from the variables, and is left out where they lack it."""
    found: dict[str, str] = {}
    for name, child in pairs(node).items():
        if name in _FORBIDDEN_ARGS:
            raise refuse(child, f"the build argument {name} picks another builder", "Remove it.")
        if child.value is not None:
            found[name] = scalar_text(child)
        elif name in variables:
            found[name] = variables[name]
    return found


def _platform(node: Node) -> str | None:
    listed = [text(item) for item in items(node)]
    if len(listed) > 1:
        raise refuse(node, "a preview is built for one platform", "Keep one entry, or remove `platforms`.")
    return listed[0] if listed else None


def _check_network(node: Node) -> None:
    if text(node) not in ("default", "none"):
        raise refuse(node, f"`network: {node.value}` lets the build reach other networks", "Remove it.")
