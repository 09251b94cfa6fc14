"""Which subnets are free for the networks of previews. Pure.

Docker's own address pools hold about thirty bridge networks. Each network of a preview therefore gets a small subnet
of its own out of one large private pool, and the worker offers the Engine one after the other until it takes one:
what else routes on the host is known to the host alone.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network


def free_subnets(pool: IPv4Network, prefix: int, taken: Iterable[IPv4Network]) -> Iterator[IPv4Network]:
    """Every subnet of `pool` with this prefix length that overlaps none of `taken`, the lowest first.

    `taken` may be in any order, of any size, overlapping, and partly or wholly outside of the pool. Work grows with
    what is taken and what is asked for, never with the size of the pool. Raises ValueError for a prefix that is
    shorter than the pool's.
    """
    if not pool.prefixlen <= prefix <= pool.max_prefixlen:
        raise ValueError(f"{pool} has no subnets of prefix length {prefix}")
    size = 1 << (pool.max_prefixlen - prefix)
    address, end = int(pool.network_address), int(pool.broadcast_address) + 1
    for first, last in [*_ranges(taken, pool), (end, end)]:
        while address + size <= first:
            yield IPv4Network((address, prefix))
            address += size
        address = max(address, _round_up(last + 1, size))


def _ranges(networks: Iterable[IPv4Network], pool: IPv4Network) -> list[tuple[int, int]]:
    """First and last address of each network that touches the pool, in order."""
    return sorted((int(n.network_address), int(n.broadcast_address)) for n in networks if n.overlaps(pool))


def _round_up(address: int, size: int) -> int:
    return -(-address // size) * size
