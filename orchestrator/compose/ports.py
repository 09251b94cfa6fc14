"""`ports` and `expose`: the container's ports. What the host would publish is only remembered as a hint.

Pure; `service` calls it.
"""

import ipaddress
from collections.abc import Iterator

from orchestrator.compose.load import Node
from orchestrator.compose.model import Port
from orchestrator.compose.scalars import check_keys, integer, items, mapping, refuse, scalar_text

MAX_PORT = 65_535
MAX_RANGE = 1_000
_PROTOCOLS = ("tcp", "udp", "sctp")
_LONG_KEYS = ("target", "published", "host_ip", "protocol", "mode", "name", "app_protocol")


def read_ports(node: Node) -> tuple[Port, ...]:
    """Every port of the `ports` list, ranges expanded, each once."""
    found: dict[Port, None] = {}
    for item in items(node, "- 8000"):
        for port in (_long(item),) if isinstance(item.value, dict) else _short(item):
            found.setdefault(port)
    return tuple(found)


def read_expose(node: Node) -> tuple[int, ...]:
    """Every TCP port of the `expose` list, ranges expanded, each once."""
    found: dict[int, None] = {}
    for item in items(node, "- 8000"):
        written, _, protocol = scalar_text(item).partition("/")
        _check_protocol(item, protocol or "tcp")
        for port in _range(item, written):
            if protocol in ("", "tcp"):
                found.setdefault(port)
    return tuple(found)


def _short(node: Node) -> Iterator[Port]:
    """`[[address:][published]:]target[/protocol]`, read from the right because an address may hold colons."""
    written, slash, protocol = scalar_text(node).partition("/")
    outer, _, inner = written.rpartition(":")
    address, _, published = outer.rpartition(":")
    if address:
        _check_address(node, address)
    protocol = _check_protocol(node, protocol if slash else "tcp")
    targets = _range(node, inner)
    for target, outside in zip(targets, _published(node, published or None, len(targets)), strict=True):
        yield Port(target=target, published=outside, protocol=protocol)


def _check_address(node: Node, address: str) -> None:
    try:
        ipaddress.ip_address(address.strip("[]"))
    except ValueError:
        raise refuse(node, f"`{address}` is not an address", "Write 8000, or 8080:8000.") from None


def _published(node: Node, written: str | None, count: int) -> list[str | None]:
    """What each target is published as. One target may be published as any free port of a range."""
    if written is None:
        return [None] * count
    outside = _range(node, written)
    if count == 1:
        return [written]
    if len(outside) != count:
        raise refuse(node, f"`{node.value}` maps ranges of different length", "Make both ranges equally long.")
    return [str(port) for port in outside]


def _long(node: Node) -> Port:
    check_keys(node, _LONG_KEYS)
    pairs = mapping(node)
    if "target" not in pairs:
        raise refuse(node, "a port needs `target`", "Write `target: 8000`.")
    protocol = scalar_text(pairs["protocol"]) if "protocol" in pairs else "tcp"
    return Port(
        target=integer(pairs["target"], 1, MAX_PORT),
        published=scalar_text(pairs["published"]) if "published" in pairs else None,
        protocol=_check_protocol(node, protocol),
    )


def _check_protocol(node: Node, protocol: str) -> str:
    if protocol.lower() not in _PROTOCOLS:
        raise refuse(node, f"`{protocol}` is not a protocol", "Write tcp or udp.")
    return protocol.lower()


def _range(node: Node, written: str) -> range:
    first, dash, last = written.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()) or max(len(first), len(last)) > len("65535"):
        raise refuse(node, f"`{written}` is not a port", "Write a number from 1 to 65535, or a range such as 80-82.")
    low, high = int(first), int(last or first)
    if not 1 <= low <= high <= MAX_PORT or high - low >= MAX_RANGE:
        raise refuse(node, f"`{written}` is not a port", "Write a number from 1 to 65535, or a range such as 80-82.")
    return range(low, high + 1)
