"""`ports` and `expose`: the container's ports. What the host would publish is only remembered as a hint.

Pure. Called by `service` with the long form, which `schema/short_ports` makes of the short one.
"""

from orchestrator.compose.model import Port
from orchestrator.compose.schema.short_ports import MAX_PORT, port_protocol, port_range
from orchestrator.compose.syntax.casts import integer, items, mapping, text
from orchestrator.compose.syntax.load import Node


def read_ports(node: Node) -> tuple[Port, ...]:
    """Every port of the `ports` list, each once."""
    return tuple(dict.fromkeys(_port(item) for item in items(node)))


def read_expose(node: Node) -> tuple[int, ...]:
    """Every TCP port of the `expose` list, ranges expanded, each once."""
    found: dict[int, None] = {}
    for item in items(node, "- 8000"):
        written, _, protocol = text(item).partition("/")
        port_protocol(item, protocol or "tcp")
        for port in port_range(item, written):
            if protocol in ("", "tcp"):
                found.setdefault(port)
    return tuple(found)


def _port(node: Node) -> Port:
    found = mapping(node)
    return Port(
        target=integer(found["target"], 1, MAX_PORT),
        published=text(found["published"]) if "published" in found else None,
        protocol=port_protocol(node, text(found["protocol"])),
    )
