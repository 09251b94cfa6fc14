"""The short forms of the Compose language, each turned into its long form.

Pure. `specification` names these functions beside the shapes that have a short form; after them every value has one
form, so whatever works on the tree reads one form only.
"""

import posixpath
import re
from collections.abc import Callable
from dataclasses import replace

from orchestrator.compose.schema.shapes import made, refuse_repeats
from orchestrator.compose.schema.short_ports import long_ports
from orchestrator.compose.syntax.casts import pairs, refuse, text
from orchestrator.compose.syntax.load import Node
from orchestrator.compose.syntax.shell_words import split

MAX_PORTS = 1_000
"""Ports of one service, ranges expanded: each becomes a mapping of its own."""
_PROPAGATIONS = frozenset({"shared", "rshared", "slave", "rslave", "private", "rprivate"})
_DRIVE = re.compile(r"[^\W\d_]")
_SHORTEST_SPEC = 2
"""A mount as short as this has no source to Compose, whatever it contains."""


def listed(node: Node) -> Node:
    """`a` for `[a]`."""
    return made((node,), node) if isinstance(node.value, str) else node


def said(node: Node) -> Node:
    """`a` for `[a]`, without what is empty: a variable without a value names nothing."""
    found = listed(node)
    items = found.value if isinstance(found.value, tuple) else None
    return (
        found if items is None else replace(found, value=tuple(item for item in items if item.value not in ("", None)))
    )


def keyed(node: Node) -> Node:
    """`[NAME=value]` for `{NAME: value}`; a bare NAME has no value."""
    return replace(node, value=pairs(node)) if isinstance(node.value, tuple) else node


def named(node: Node) -> Node:
    """`[name]` for `{name: }`."""
    return replace(node, value=_names(node, lambda item: made(None, item))) if isinstance(node.value, tuple) else node


def depended(node: Node) -> Node:
    """`[name]` for `{name: {condition: service_started, required: true}}`."""
    return replace(node, value=_names(node, _started)) if isinstance(node.value, tuple) else node


def record(key: str) -> Callable[[Node], Node]:
    """A string alone for `{key: string}`."""
    return lambda node: made({key: node}, node) if isinstance(node.value, str) else node


def file_mount(node: Node) -> Node:
    """`name` for `{source: name}`."""
    return made({"source": node}, node) if isinstance(node.value, str) else node


def external(node: Node) -> Node:
    """`external: {name: n}`, which is old, for `external: true` and `name: n`."""
    found = node.value
    if not isinstance(found, dict) or not isinstance(written := found.get("external"), Node):
        return node
    if not isinstance(written.value, dict):
        return node
    name = written.value.get("name")
    if name is not None and "name" in found and found["name"].value != name.value:
        raise refuse(found["name"], "`name` and `external.name` differ", "Keep `name`.")
    return replace(node, value={**found, "external": made(value=True, at=written), **({"name": name} if name else {})})


def command(node: Node) -> Node:
    """A command in one string for its words; the words that Compose drops go with it."""
    if not isinstance(node.value, str):
        return node
    try:
        words, dropped = split(node.value)
    except ValueError as error:
        raise refuse(node, f"this command cannot be split into words: {error}", "Write it as a list.") from error
    return replace(node, value=tuple(made(word, node) for word in words), dropped=dropped)


def test(node: Node) -> Node:
    """A test in one string for `[CMD-SHELL, string]`."""
    if not isinstance(node.value, str):
        return node
    return replace(node, value=(made("CMD-SHELL", node), node))


def requested(node: Node) -> Node:
    """A request for devices that says neither how many nor which asks for all of them."""
    found = node.value
    if not isinstance(found, dict) or found.keys() & {"count", "device_ids"}:
        return node
    return replace(node, value={**found, "count": made(-1, node)})


def port(node: Node) -> Node:
    """A port as Compose completes it: `tcp`, published on the machine where the container runs."""
    if not isinstance(node.value, dict):
        return node
    return replace(node, value={"mode": made("ingress", node), "protocol": made("tcp", node), **node.value})


def secret_mount(node: Node) -> Node:
    """`name` for `{source: name}`, with the place that a secret has where none is said."""
    found = file_mount(node).value
    if not isinstance(found, dict) or "target" in found or "source" not in found:
        return file_mount(node)
    return replace(node, value={**found, "target": made(f"/run/secrets/{found['source'].value}", node)})


def gpus(node: Node) -> Node:
    """`all` for one request of every device."""
    if node.value == "all":
        return replace(node, value=(made({"count": made(-1, node)}, node),))
    return node


def hosts(node: Node) -> Node:
    """Names to addresses, from a mapping or from a list of `name=address` or `name:address`."""
    if not isinstance(node.value, tuple):
        return node
    found: dict[str, list[Node]] = {}
    refuse_repeats(node.value)
    for item in node.value:
        name, sign, address = _host(text(item))
        if not sign:
            raise refuse(item, f"`{item.value}` has no address", "Write name=address.")
        found.setdefault(name, []).append(made(address, item))
    return replace(node, value={name: made(tuple(given), given[0]) for name, given in found.items()})


def ports(node: Node) -> Node:
    """Every port on its own, ranges expanded."""
    if not isinstance(node.value, tuple):
        return node
    found: list[Node] = []
    for item in node.value:
        found.extend(long_ports(item))
        if len(found) > MAX_PORTS:
            raise refuse(item, f"the service has more than {MAX_PORTS} ports", "Publish the ports that are needed.")
    return replace(node, value=tuple(found))


def mount(node: Node) -> Node:
    """`target`, `source:target` or `source:target:modes` for the mapping with `type`."""
    if not isinstance(node.value, str):
        return node
    source, target, modes = _mount_parts(node, node.value)
    is_bind = _is_file(source)
    options: dict[str, Node] = {}
    found = {"type": made("bind" if is_bind else "volume", node)}
    if source:
        found["source"] = made(source, node)
    found["target"] = made(posixpath.normpath(target), node)
    for mode in modes:
        if mode in ("ro", "rw"):
            found["read_only"] = made(value=mode == "ro", at=node)
        elif mode in _PROPAGATIONS:
            options["propagation"] = made(mode, node)
        elif mode in ("z", "Z"):
            options["selinux"] = made(mode, node)
    if options or is_bind:
        found["bind"] = made(options, node)
    if not is_bind:
        found["volume"] = made({"nocopy": made(value=True, at=node)} if "nocopy" in modes else {}, node)
    return replace(node, value=found)


def device(node: Node) -> Node:
    """`source`, `source:target` or `source:target:permissions` for the mapping."""
    if not isinstance(node.value, str):
        return node
    parts = node.value.split(":")
    if len(parts) > 3:  # noqa: PLR2004 - the three parts of the short form
        raise refuse(node, f"`{node.value}` has too many colons", "Write source:target:rwm.")
    source, target, permissions = (*parts, *(parts[0], "rwm")[len(parts) - 1 :])
    return replace(
        node,
        value={
            "source": made(source, node),
            "target": made(target, node),
            "permissions": made(permissions, node),
        },
    )


def _names(node: Node, value: Callable[[Node], Node]) -> dict[str, Node]:
    found: dict[str, Node] = {}
    for item in node.value if isinstance(node.value, tuple) else ():
        if text(item) in found:
            raise refuse(item, f"`{item.value}` stands in this list twice", "Remove one of them.")
        found[text(item)] = value(item)
    return found


def _started(item: Node) -> Node:
    return made({"condition": made("service_started", item), "required": made(value=True, at=item)}, item)


def _host(written: str) -> tuple[str, str, str]:
    """Name, sign and address: the sign is the first `=`, or without one the first `:`."""
    return written.partition("=" if "=" in written else ":")


def _mount_parts(node: Node, written: str) -> tuple[str, str, tuple[str, ...]]:
    if len(written) <= _SHORTEST_SPEC:
        if not written:
            raise refuse(node, "this mount is empty", "Write source:target.")
        return "", written, ()
    parts = _sections(written)
    if not all(parts):
        raise refuse(node, f"`{written}` has an empty part between its colons", "Write source:target.")
    if len(parts) > 3:  # noqa: PLR2004 - the three parts of the short form
        raise refuse(node, f"`{written}` has too many colons", "Write source:target or source:target:ro.")
    if len(parts) == 1:
        return "", parts[0], ()
    return parts[0], parts[1], tuple(parts[2].split(",")) if parts[2:] else ()


def _sections(written: str) -> list[str]:
    """The parts between colons. One letter before a colon is a drive to Compose, and stays with what follows."""
    found: list[str] = [""]
    for character in written:
        if character == ":" and not (len(found[-1]) == 1 and _DRIVE.match(found[-1])):
            found.append("")
        else:
            found[-1] += character
    return found


def _is_file(source: str) -> bool:
    return source.startswith((".", "/", "~", "\\")) or (source[1:2] == ":" and _DRIVE.match(source) is not None)


def ulimit(node: Node) -> Node:
    """One number for both limits. It stays apart from the pair, because Compose prints it as one."""
    if not isinstance(node.value, dict):
        return replace(node, value={"single": made(node.value, node)})
    for key in ("soft", "hard"):
        if key not in node.value:
            raise refuse(node, f"this has no `{key}`", "Write one number, or both `soft` and `hard`.")
    return node


def dependency(node: Node) -> Node:
    """A dependency is required unless it says otherwise."""
    if not isinstance(node.value, dict):
        return node
    return replace(node, value={"required": made(value=True, at=node), **node.value})


def listed_scalar(node: Node) -> Node:
    """One value for a list of it."""
    return node if isinstance(node.value, tuple | dict) else made((node,), node)
