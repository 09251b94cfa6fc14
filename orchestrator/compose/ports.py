"""`ports` and `expose`: the container's ports. What the host would publish is only remembered as a hint.

Pure. `forms` calls `long_ports` for the short form, `service` the two readers for the long one.
"""

import ipaddress
from collections.abc import Iterator
from dataclasses import replace

from orchestrator.compose.load import Node
from orchestrator.compose.model import Port
from orchestrator.compose.scalars import integer, items, mapping, refuse, scalar_text, text
from orchestrator.compose.shapes import made

MAX_PORT = 65_535
MAX_RANGE = 1_000
_PROTOCOLS = ("tcp", "udp", "sctp")


def long_ports(node: Node) -> Iterator[Node]:
    """The long form of `[[address:][published]:]target[/protocol]`, one for each port of a range.

    It is read from the right, because an address may hold colons.
    """
    if isinstance(node.value, dict):
        yield node
        return
    if isinstance(node.value, float):
        raise refuse(node, f"`{node.value}` is not a port", "Write a whole number.")
    written, slash, protocol = scalar_text(node).partition("/")
    outer, _, inner = written.rpartition(":")
    address, _, published = outer.rpartition(":")
    protocol = _protocol(node, protocol if slash else "tcp")
    targets = _range(node, inner)
    shared = {"protocol": made(protocol, node), **_address(node, address)}
    for target, outside in zip(targets, _published(node, published, len(targets)), strict=True):
        found = {**shared, "target": made(target, node)}
        yield replace(node, value=found if outside is None else {**found, "published": made(outside, node)})


def read_ports(node: Node) -> tuple[Port, ...]:
    """Every port of the `ports` list, each once."""
    return tuple(dict.fromkeys(_port(item) for item in items(node)))


def read_expose(node: Node) -> tuple[int, ...]:
    """Every TCP port of the `expose` list, ranges expanded, each once."""
    found: dict[int, None] = {}
    for item in items(node, "- 8000"):
        written, _, protocol = text(item).partition("/")
        _protocol(item, protocol or "tcp")
        for port in _range(item, written):
            if protocol in ("", "tcp"):
                found.setdefault(port)
    return tuple(found)


def _port(node: Node) -> Port:
    found = mapping(node)
    return Port(
        target=integer(found["target"], 1, MAX_PORT),
        published=text(found["published"]) if "published" in found else None,
        protocol=_protocol(node, text(found["protocol"])),
    )


def _address(node: Node, written: str) -> dict[str, Node]:
    if not written:
        return {}
    address = written.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise refuse(node, f"`{written}` is not an address", "Write 8000, or 8080:8000.") from None
    return {"host_ip": made(address, node)}


def _published(node: Node, written: str, count: int) -> list[str | None]:
    """What each target is published as. One target may be published as any free port of a range."""
    if not written:
        return [None] * count
    outside = _range(node, written)
    if count == 1:
        return [written]
    if len(outside) != count:
        raise refuse(node, f"`{node.value}` maps ranges of different length", "Make both ranges equally long.")
    return [str(port) for port in outside]


def _protocol(node: Node, protocol: str) -> str:
    if protocol.lower() not in _PROTOCOLS:
        raise refuse(node, f"`{protocol}` is not a protocol", "Write tcp or udp.")
    return protocol.lower()


def _range(node: Node, written: str) -> range:
    first, dash, last = written.partition("-")
    if not _is_number(first) or (dash and not _is_number(last)):
        raise refuse(node, f"`{written}` is not a port", "Write a number from 1 to 65535, or a range such as 80-82.")
    low, high = int(first), int(last or first)
    if not 1 <= low <= high <= MAX_PORT:
        raise refuse(node, f"`{written}` is not a port", "Write a number from 1 to 65535, or a range such as 80-82.")
    if high - low >= MAX_RANGE:
        raise refuse(node, f"`{written}` is more than {MAX_RANGE} ports", "Name the ports that are needed.")
    return range(low, high + 1)


def _is_number(written: str) -> bool:
    return written.isascii() and written.isdecimal() and len(written) <= len("65535")
