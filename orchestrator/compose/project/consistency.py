"""What Compose refuses only when all of a project is read: names that nothing declares, keys that exclude each other.

Pure. `canonical` and `read` call it for the services that start, `read` after the policy has spoken and before any
reader: what a service names is there when the service is read. `previewd check` asks about one service at a time.
"""

from collections.abc import Callable, Collection, Mapping
from typing import TypeAlias

from orchestrator.compose.project.project import Project
from orchestrator.compose.schema.shapes import NAME
from orchestrator.compose.syntax.casts import mapping, nearest, refuse, text
from orchestrator.compose.syntax.load import Node

_Keys: TypeAlias = Mapping[str, Node]
_GRANTED = ("secret", "config")
_SOURCES = ("file", "environment", "content")


def check(project: Project, starting: Mapping[str, Node]) -> None:
    """Raises ComposeError for the first thing that does not fit together, of the services `starting`."""
    for node in starting.values():
        check_service(node, project, starting)
    _check_container_names(starting)
    _check_circle(starting)
    for kind in _GRANTED:
        for node in project.section(f"{kind}s").values():
            _check_content(mapping(node), node, kind)
    for node in project.section("volumes").values():
        _check_external(node)


def check_service(node: Node, project: Project, starting: Collection[str]) -> None:
    """Raises ComposeError for the first thing that does not fit in one service. `starting` are the names beside it."""
    keys = mapping(node) if node.value is not None else {}
    for rule in _RULES:
        rule(keys, project)
    _check_dependencies(keys, project.section("services"), starting)
    _check_image(keys, node)


def _check_image(keys: _Keys, service: Node) -> None:
    if _said(keys, "image") or keys.keys() & {"build", "provider"}:
        return
    if "image" in keys:
        raise refuse(keys["image"], "`` is not an image's name", "Write name:tag.")
    raise refuse(service, "the service has neither `image` nor `build`", "Give it one of them.")


def _check_build(keys: _Keys, project: Project) -> None:
    if "build" not in keys:
        return
    build = mapping(keys["build"])
    if _said(build, "dockerfile") and _said(build, "dockerfile_inline"):
        raise refuse(build["dockerfile_inline"], "`dockerfile` and `dockerfile_inline` exclude each other", "Keep one.")
    _check_declared(build.get("secrets"), project.section("secrets"), "secret")
    contexts = mapping(build["additional_contexts"]) if "additional_contexts" in build else {}
    for node in contexts.values():
        _check_context(node, project)
    platforms = [item.value for item in _items(build.get("platforms"))]
    if _said(keys, "platform") and platforms and keys["platform"].value not in platforms:
        raise refuse(keys["platform"], "`build.platforms` does not hold this platform", "Add it there.")


def _check_context(node: Node, project: Project) -> None:
    name = text(node).removeprefix("service:")
    if name == node.value:
        return
    services = project.section("services")
    if name not in services:
        raise refuse(node, f"there is no service `{name}`", nearest(name, services) or "Name a service with `build`.")
    if services[name].value is None or "build" not in mapping(services[name]):
        remedy = "Give it `build`, or take its files with `COPY --from=IMAGE` in the Dockerfile."
        raise refuse(node, f"the service `{name}` is not built here", remedy)


def _check_networks(keys: _Keys, project: Project) -> None:
    networks = keys.get("networks")
    if networks is None or not networks.value:
        return
    if _said(keys, "network_mode"):
        raise refuse(networks, "`networks` and `network_mode` exclude each other", "Keep one.")
    known = project.section("networks").keys() | {"default"}
    for name, node in mapping(networks).items():
        if name not in known:
            remedy = nearest(name, known) or f"Add `networks: {{{name}: }}` at the top."
            raise refuse(node, f"the network `{name}` is not declared", remedy)


def _check_mounts(keys: _Keys, project: Project) -> None:
    known = project.section("volumes")
    for item in _items(keys.get("volumes")):
        found = mapping(item)
        if found["type"].value == "bind" and not _said(found, "source"):
            raise refuse(found.get("source", item), "a bind needs `source`", "Write `source: ./data`.")
        if found["type"].value != "volume" or not _said(found, "source"):
            continue
        name = text(found["source"])
        if NAME.fullmatch(name) is None:
            raise refuse(found["source"], f"`{name}` is not a volume's name", f"To mount a folder write ./{name}.")
        if name not in known:
            remedy = nearest(name, known) or f"Add `volumes: {{{name}: }}` at the top, or write ./{name}."
            raise refuse(found["source"], f"the volume `{name}` is not declared", remedy)


def _check_grants(keys: _Keys, project: Project) -> None:
    for kind in _GRANTED:
        _check_declared(keys.get(f"{kind}s"), project.section(f"{kind}s"), kind)


def _check_declared(node: Node | None, known: Mapping[str, Node], kind: str) -> None:
    for item in _items(node):
        source = mapping(item).get("source")
        if source is None:
            raise refuse(item, f"this names no {kind}", "Write `source: name`.")
        name = text(source)
        if name not in known:
            remedy = nearest(name, known) or f"Add it to `{kind}s:` at the top."
            raise refuse(source, f"the {kind} `{name}` is not declared", remedy)


def _check_dependencies(keys: _Keys, services: _Keys, starting: Collection[str]) -> None:
    """At `depends_on`, or at the link, the shared network or the shared volumes that imply the dependency."""
    needed = keys.get("depends_on")
    for name, node in mapping(needed).items() if needed is not None else ():
        if name not in services:
            raise refuse(node, f"there is no service `{name}`", nearest(name, services) or "Remove the dependency.")
        if name not in starting and mapping(node)["required"].value:
            raise refuse(
                node,
                f"`{name}` has a profile that is not active, so it does not start",
                f"Add its profile to COMPOSE_PROFILES in .env, or `required: false` to the dependency on {name}.",
            )


def _check_healthcheck(keys: _Keys, _: Project) -> None:
    if "healthcheck" not in keys:
        return
    test = mapping(keys["healthcheck"]).get("test")
    words = _items(test)
    if test is not None and words and words[0].value not in ("CMD", "CMD-SHELL", "NONE"):
        raise refuse(test, f"the test starts with `{words[0].value}`", "Start it with CMD, CMD-SHELL or NONE.")


def _check_amounts(keys: _Keys, _: Project) -> None:
    """The two ways to say how much, and how often, must say the same."""
    for own, path in _TWICE:
        below = _walk(keys, path)
        if own in keys and below is not None and keys[own].value and keys[own].value != below.value:
            raise refuse(keys[own], f"`{own}` and `{'.'.join(path)}` differ", "Keep one.")
    limits = _walk(keys, ("deploy", "resources", "limits"))
    if limits is not None and "pids_limit" in keys and keys["pids_limit"].value and "pids" not in mapping(limits):
        raise refuse(keys["pids_limit"], "`deploy.resources.limits` stands here without `pids`", "Say it there.")
    replicas = keys.get("scale") or _walk(keys, ("deploy", "replicas"))
    if _said(keys, "container_name") and replicas is not None and int(str(replicas.value)) > 1:
        raise refuse(replicas, "containers of one name cannot be several", "Remove `container_name`.")


def _check_devices(keys: _Keys, _: Project) -> None:
    listed = (keys.get("gpus"), _walk(keys, ("deploy", "resources", "reservations", "devices")))
    for item in (item for node in listed for item in _items(node)):
        if {"count", "device_ids"} <= mapping(item).keys():
            raise refuse(item, "`count` and `device_ids` exclude each other", "Keep one.")


def _check_container_names(starting: Mapping[str, Node]) -> None:
    seen: dict[str, Node] = {}
    for keys in map(mapping, starting.values()):
        if _said(keys, "container_name"):
            node = keys["container_name"]
            if text(node) in seen:
                raise refuse(node, f"two services have the container name `{node.value}`", "Rename one.")
            seen[text(node)] = node


def _check_circle(starting: Mapping[str, Node]) -> None:
    if found := circle({name: _needs(mapping(node)) for name, node in starting.items()}):
        what = f"services wait for each other in a circle: {' -> '.join(found)}"
        raise refuse(starting[found[0]], what, "Remove one of these dependencies.")


def _needs(keys: _Keys) -> frozenset[str]:
    return frozenset(mapping(keys["depends_on"])) if "depends_on" in keys else frozenset()


def circle(needs: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """The names of one circle, the first repeated at the end; empty where each can come after all that it needs."""
    left = dict(needs)
    while ready := {name for name, needed in left.items() if not needed & left.keys()}:
        left = {name: needed for name, needed in left.items() if name not in ready}
    if not left:
        return ()
    # Whatever is left waits for something that is left: walking on must come back to a name seen before.
    trail = [next(iter(left))]
    while (following := min(left[trail[-1]] & left.keys())) not in trail:
        trail.append(following)
    return (*trail[trail.index(following) :], following)


def _check_content(keys: _Keys, node: Node, kind: str) -> None:
    if _is_external(keys):
        return
    said = sum(key in keys for key in _SOURCES)
    if said == 0:
        raise refuse(node, f"the {kind} has no content", "Give it `file:` or `environment:`.")
    if said > 1:
        raise refuse(node, "this needs exactly one of `file`, `environment` and `content`", "Keep one.")


def _check_external(node: Node) -> None:
    keys = mapping(node) if node.value is not None else {}
    others = [key for key in keys if key not in ("name", "external") and not key.startswith("x-")]
    if _is_external(keys) and others:
        raise refuse(node, f"`external` and `{others[0]}` exclude each other", f"Remove `{others[0]}`.")


def _is_external(keys: _Keys) -> bool:
    return "external" in keys and keys["external"].value is True


def _walk(keys: _Keys, path: tuple[str, ...]) -> Node | None:
    node: Node | None = None
    for key in path:
        node = keys.get(key)
        if node is None or not isinstance(node.value, dict):
            return node if key == path[-1] else None
        keys = node.value
    return node


def _said(keys: _Keys, key: str) -> bool:
    return key in keys and keys[key].value not in (None, "")


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.value if node is not None and isinstance(node.value, tuple) else ()


_TWICE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("cpus", ("deploy", "resources", "limits", "cpus")),
    ("mem_limit", ("deploy", "resources", "limits", "memory")),
    ("mem_reservation", ("deploy", "resources", "reservations", "memory")),
    ("pids_limit", ("deploy", "resources", "limits", "pids")),
    ("scale", ("deploy", "replicas")),
)
_RULES: tuple[Callable[[_Keys, Project], None], ...] = (
    _check_build,
    _check_networks,
    _check_mounts,
    _check_grants,
    _check_healthcheck,
    _check_amounts,
    _check_devices,
)
