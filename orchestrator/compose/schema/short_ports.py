"""The short form of a port, for the mapping with `target`: addresses, ranges and protocols are read here only. Pure."""

import ipaddress
from collections.abc import Iterator
from dataclasses import replace

from orchestrator.compose.schema.shapes import made
from orchestrator.compose.syntax.casts import refuse, scalar_text
from orchestrator.compose.syntax.load import Node

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
    protocol = port_protocol(node, protocol if slash else "tcp")
    targets = port_range(node, inner)
    shared = {"protocol": made(protocol, node), **_address(node, address)}
    for target, outside in zip(targets, _published(node, published, len(targets)), strict=True):
        found = {**shared, "target": made(target, node)}
        yield replace(node, value=found if outside is None else {**found, "published": made(outside, node)})


def port_protocol(node: Node, protocol: str) -> str:
    """The protocol's name as Compose writes it. Raises ComposeError."""
    if protocol.lower() not in _PROTOCOLS:
        raise refuse(node, f"`{protocol}` is not a protocol", "Write tcp or udp.")
    return protocol.lower()


def port_range(node: Node, written: str) -> range:
    """`80`, or `80-82`, as port numbers. Raises ComposeError."""
    first, dash, last = written.partition("-")
    if not _is_number(first) or (dash and not _is_number(last)):
        raise refuse(node, f"`{written}` is not a port", "Write a number from 1 to 65535, or a range such as 80-82.")
    low, high = int(first), int(last or first)
    if not 1 <= low <= high <= MAX_PORT:
        raise refuse(node, f"`{written}` is not a port", "Write a number from 1 to 65535, or a range such as 80-82.")
    if high - low >= MAX_RANGE:
        raise refuse(node, f"`{written}` is more than {MAX_RANGE} ports", "Name the ports that are needed.")
    return range(low, high + 1)


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
    outside = port_range(node, written)
    if count == 1:
        return [written]
    if len(outside) != count:
        raise refuse(node, f"`{node.value}` maps ranges of different length", "Make both ranges equally long.")
    return [str(port) for port in outside]


def _is_number(written: str) -> bool:
    return written.isascii() and written.isdecimal() and len(written) <= len("65535")
