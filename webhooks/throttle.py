"""How often the admin token may be guessed: a memory of failed attempts, of each peer and of all. Pure; `now` is given.

The sign-in form and the API ask it before they look at a token, so that a right guess is not told from a wrong one.
It is small and forgets with the process: it is no defence for a token that can be guessed.
"""

import ipaddress
import math
from collections import deque
from collections.abc import Mapping

WINDOW_SECONDS = 60.0
OF_ONE_PEER = 20
OF_ALL = 200
"""Failed attempts in that time; after so many everybody waits who is not signed in."""

REAL_PEER = "x-real-ip"
"""Caddy says here who asked it, whatever the request itself says."""

_V6_PREFIX = 64
"""What one customer of a provider has to itself: each of its addresses is the same peer."""


class Throttle:
    """Failed attempts of the last WINDOW_SECONDS."""

    def __init__(self, of_all: int = OF_ALL) -> None:
        self._of_all = of_all
        self._failed: deque[tuple[float, str]] = deque(maxlen=of_all)

    def seconds_to_wait(self, peer: str, now: float) -> int:
        """0 when `peer` may try at once."""
        while self._failed and self._failed[0][0] <= now - WINDOW_SECONDS:
            self._failed.popleft()
        own = [at for at, who in self._failed if who == peer]
        full = ([own[-OF_ONE_PEER]] if len(own) >= OF_ONE_PEER else []) + (
            [self._failed[0][0]] if len(self._failed) >= self._of_all else []
        )
        return math.ceil(max(full) + WINDOW_SECONDS - now) if full else 0

    def failed(self, peer: str, now: float) -> None:
        """To be called after each attempt that showed another token."""
        self._failed.append((now, peer))


def peer_of(client: str, headers: Mapping[str, str]) -> str:
    """Who asks: the connection's other end, or whom the proxy there names. An IPv6 network counts as one."""
    named = headers.get(REAL_PEER, "") if is_near(client) else ""
    address = address_of(named) or address_of(client)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, _V6_PREFIX), strict=False))
    return str(address or client)


def is_near(client: str) -> bool:
    """Whether it is this machine, or one of a private network."""
    address = address_of(client)
    return address is not None and (address.is_loopback or address.is_private)


def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """None for what is no address. An IPv4 address that is written as an IPv6 one is what it is."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
