"""`extends`: a service on top of another one, of the same file, another file or another folder.

Pure; `include` calls it for each file. Every path is resolved beside the file that it stands in before the two are
merged, so nothing moves when a service is taken over.
"""

import posixpath
from dataclasses import dataclass, replace

from orchestrator.compose.project.paths import resolved
from orchestrator.compose.project.sources import Scope, Sources, beside
from orchestrator.compose.schema.merge import merge
from orchestrator.compose.schema.shapes import RESET, check_names, complete, conform
from orchestrator.compose.schema.specification import EXTENDS, SERVICE
from orchestrator.compose.syntax.casts import mapping, nearest, refuse, text
from orchestrator.compose.syntax.load import Node

MAX_DEPTH = 8
"""Services in one chain of `extends`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """The services of one file as they are written, and what they are looked up in."""

    path: str
    services: Node
    scope: Scope


def services_of(file: File, sources: Sources) -> Node:
    """Every service of the file in its long form, with what it extends below it."""
    if file.services.value is None or file.services.tag == RESET:
        return file.services
    found = mapping(file.services, "api:")
    check_names(found)
    return replace(
        file.services,
        value={name: _service(name, child, file, sources, ()) for name, child in found.items()},
    )


def _service(name: str, node: Node, file: File, sources: Sources, chain: tuple[str, ...]) -> Node:
    own = node.value
    if not isinstance(own, dict) or "extends" not in own or own["extends"].tag == RESET:
        return _long(_without_extends(node), file)
    trail = (*chain, f"{name} ({file.path})")
    _check_chain(own["extends"], trail)
    below = _base(own["extends"], file, sources, trail)
    over = _long(_without_extends(node), file)
    merged = merge(below, over, SERVICE)
    # What is taken away here is taken away too from what an earlier file says of this service.
    resets = {key: child for key, child in mapping(over).items() if child.tag == RESET}
    return replace(merged, value={**mapping(merged), **resets}, place=node.place) if merged.value else over


def _long(node: Node, file: File) -> Node:
    return resolved(conform(node, SERVICE), SERVICE, file.scope.folder)


def _without_extends(node: Node) -> Node:
    if not isinstance(node.value, dict):
        return node
    return replace(node, value={key: child for key, child in node.value.items() if key != "extends"})


def _base(node: Node, file: File, sources: Sources, trail: tuple[str, ...]) -> Node:
    asked = conform(node, EXTENDS)
    complete(asked, EXTENDS)
    found = mapping(asked)
    name = text(found["service"])
    source = _other_file(found["file"], file, sources) if "file" in found else file
    services = mapping(source.services)
    if name not in services:
        raise refuse(
            found["service"], f"{source.path} has no service `{name}`", nearest(name, services) or "Correct the name."
        )
    sources.spend(services[name])
    return _service(name, services[name], source, sources, trail)


def _other_file(node: Node, file: File, sources: Sources) -> File:
    path = beside(node, text(node), file.scope)
    root = mapping(sources.tree(path, file.scope.variables, node))
    if "services" not in root:
        raise refuse(node, f"{path} has no services", "Name a Compose file.")
    folder = posixpath.dirname(path) or "."
    return File(path=path, services=root["services"], scope=replace(file.scope, folder=folder))


def _check_chain(node: Node, trail: tuple[str, ...]) -> None:
    if trail[-1] in trail[:-1]:
        circle = " -> ".join(trail[trail.index(trail[-1]) :])
        raise refuse(node, f"services extend each other in a circle: {circle}", "Remove one `extends`.")
    if len(trail) > MAX_DEPTH:
        raise refuse(node, f"`extends` goes deeper than {MAX_DEPTH} services", "Shorten the chain.")
