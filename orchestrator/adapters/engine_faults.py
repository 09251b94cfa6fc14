"""What the Engine says when something of its machine is used up: no disk, no addresses. Pure.

Its status codes say nothing here: a network for which no address is left is answered with 404, as what is gone is.
"""

import re

from orchestrator.errors import DiskFull, Unavailable

_DISK = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_ADDRESSES = re.compile(r"non-overlapping IPv[46] address pool|address pools have been fully subnetted", re.IGNORECASE)

ADDRESSES_SECONDS = 30.0


def exhausted(words: str) -> Unavailable | None:
    """What is used up, to be waited for; None when the words say nothing of the kind."""
    if _DISK.search(words):
        return DiskFull(
            "the Docker Engine",
            words,
            "Make room there: `docker system df` says what takes it. Then it goes on by itself.",
        )
    if _ADDRESSES.search(words):
        return Unavailable(
            f"the Docker Engine has no addresses left for another network: {words}. Remove networks that nobody needs, "
            "or give it larger `default-address-pools`",
            ADDRESSES_SECONDS,
        )
    return None
