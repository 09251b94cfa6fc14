"""Compose files to one tree: `extends` and `include` followed, override files merged.

Pure; `project` calls `layered` for the files of the project, which calls itself for the files that those include.
"""

import posixpath
from collections.abc import Mapping
from dataclasses import replace

from orchestrator.compose.project.extends import File, services_of
from orchestrator.compose.project.paths import resolved
from orchestrator.compose.project.sources import Scope, Sources, beside
from orchestrator.compose.schema.merge import merge
from orchestrator.compose.schema.shapes import RESET, complete, conform, made
from orchestrator.compose.schema.specification import FILE, INCLUDE, SECTIONS
from orchestrator.compose.syntax.casts import mapping, refuse, text
from orchestrator.compose.syntax.load import Node

MAX_DEPTH = 8
"""Files in one chain of `include`."""


def layered(
    paths: tuple[str, ...], scope: Scope, sources: Sources, chain: tuple[str, ...] = (), asked: Node | None = None
) -> Node:
    """The files at `paths`, each on top of the one before, in their long form."""
    merged: Node | None = None
    for path in paths:
        sources.enter(path, asked)
        root = _file(path, scope, sources, (*chain, path), asked)
        merged = root if merged is None else merge(merged, root, FILE)
        sources.spend(merged)
    if merged is None:
        raise ValueError("a project has one file at least")
    return _with_contexts(merged, scope)


def _with_contexts(root: Node, scope: Scope) -> Node:
    """The tree with the context of every build that names none: the project directory."""
    services = mapping(root).get("services")
    if services is None or not isinstance(services.value, dict):
        return root
    found = {name: _with_context(child, scope.folder) for name, child in services.value.items()}
    return replace(root, value={**mapping(root), "services": replace(services, value=found)})


def _with_context(service: Node, folder: str) -> Node:
    build = service.value.get("build") if isinstance(service.value, dict) else None
    if build is None or not isinstance(build.value, dict) or "context" in build.value:
        return service
    filled = replace(build, value={**build.value, "context": made(folder, build)})
    return replace(service, value={**mapping(service), "build": filled})


def _file(path: str, scope: Scope, sources: Sources, chain: tuple[str, ...], asked: Node | None) -> Node:
    root = sources.tree(path, scope.variables, asked)
    own = dict(mapping(root, "services:"))
    included = own.pop("include", None)
    services = own.pop("services", None)
    long = resolved(conform(replace(root, value=own), FILE), FILE, scope.folder)
    sections = dict(mapping(long))
    if services is not None:
        # Both come in their long form already, service by service.
        sections["services"] = services_of(File(path=path, services=services, scope=scope), sources)
    sections.update(_environment_filled(sections, scope))
    if included is not None and included.tag != RESET:
        _include(included, sections, scope, sources, chain)
    return replace(long, value=sections)


def _include(node: Node, into: dict[str, Node], scope: Scope, sources: Sources, chain: tuple[str, ...]) -> None:
    entries = conform(node, INCLUDE)
    complete(entries, INCLUDE)
    for entry in entries.value if isinstance(entries.value, tuple) else ():
        found = mapping(entry)
        paths = tuple(beside(item, text(item), scope) for item in _items(found["path"]))
        if not paths:
            raise refuse(entry, "this names no file", "Write `path: other/compose.yaml`.")
        _check_chain(entry, paths[0], chain)
        inner = _scope(found, paths[0], scope, sources)
        _take(layered(paths, inner, sources, chain, entry), into)


def _scope(found: Mapping[str, Node], path: str, scope: Scope, sources: Sources) -> Scope:
    """Where the included files look: their own folder, and their own variables below those of the project."""
    asked = found.get("project_directory")
    folder = beside(asked, text(asked), scope) if asked is not None and asked.value else posixpath.dirname(path) or "."
    listed = _items(found["env_file"]) if "env_file" in found else ()
    variables = dict(scope.variables)
    for item in listed:
        _add_variables(beside(item, text(item), scope), item, variables, sources)
    default = posixpath.normpath(posixpath.join(folder, ".env"))
    if not listed and default in sources.files:
        _add_variables(default, None, variables, sources)
    return Scope(folder=folder, variables={**variables, **scope.variables})


def _add_variables(path: str, node: Node | None, variables: dict[str, str], sources: Sources) -> None:
    if node is not None and path not in sources.files:
        raise refuse(node, f"{path} is not in the repository", "Add it, or remove `env_file`.")
    variables.update(sources.dotenv(path, dict(variables)))


def _take(root: Node, into: dict[str, Node]) -> None:
    """Adds what an included file declares, below what the including one says of the same thing."""
    for section, node in mapping(root).items():
        if section in SECTIONS:
            into[section] = merge(node, into[section], SECTIONS[section]) if section in into else node


def _environment_filled(sections: Mapping[str, Node], scope: Scope) -> dict[str, Node]:
    """The services, each variable that is only named given the value that it has where the file stands."""
    services = sections.get("services")
    if services is None or not isinstance(services.value, dict):
        return {}
    filled = {name: _filled(child, scope.variables) for name, child in mapping(services).items()}
    return {"services": replace(services, value=filled)}


def _filled(service: Node, variables: Mapping[str, str]) -> Node:
    found = service.value
    if not isinstance(found, dict) or "environment" not in found:
        return service
    environment = found["environment"]
    if not isinstance(environment.value, dict):
        return service
    named = {name: _inherited(name, child, variables) for name, child in environment.value.items()}
    return replace(service, value={**found, "environment": replace(environment, value=named)})


def _inherited(name: str, node: Node, variables: Mapping[str, str]) -> Node:
    if node.value is not None or node.tag or name not in variables:
        return node
    return replace(node, value=variables[name], variables=frozenset({name}))


def _items(node: Node) -> tuple[Node, ...]:
    return node.value if isinstance(node.value, tuple) else ()


def _check_chain(node: Node, path: str, chain: tuple[str, ...]) -> None:
    if path in chain:
        circle = " -> ".join((*chain[chain.index(path) :], path))
        raise refuse(node, f"files include each other in a circle: {circle}", "Remove one `include`.")
    if len(chain) > MAX_DEPTH:
        raise refuse(node, f"`include` goes deeper than {MAX_DEPTH} files", "Include the files from one place.")
