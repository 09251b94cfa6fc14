"""Taking in a request's body with bounds on its size, its time and our memory.

GitHub sends at most 25 MB and waits 10 s. Anybody can send to us: until the signature fits, a body costs next to no
memory, and whoever trickles is cut off.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from tempfile import SpooledTemporaryFile
from typing import Self

BODY_BYTES = 25 * 1024 * 1024
BODY_SECONDS = 9.0
IN_MEMORY_BYTES = 256 * 1024
"""Real deliveries are about 30 KB; what is larger than this waits in a temporary file."""
DRAINED_BYTES = 4 * 1024 * 1024
"""Of a body that is too large, so much more is read and dropped: a client that still sends may miss the answer."""


class TooLarge(Exception):
    """The body is larger than `BODY_BYTES`."""


class TooSlow(Exception):
    """The body did not arrive within `BODY_SECONDS`."""


class Body:
    """A body that was taken in. `read` gives all of it; closing it drops it."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile[bytes](max_size=IN_MEMORY_BYTES)
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    async def take(self, declared: str, stream: AsyncIterator[bytes], feed: Callable[[bytes], None]) -> None:
        """Take in `stream` and hand each piece to `feed`. `declared` is the Content-Length, if any.

        Raises TooLarge, at once when the client declares it, and TooSlow.
        """
        if declared.isdecimal() and int(declared[:12]) > BODY_BYTES:
            raise TooLarge
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in stream:
                    self._size += len(chunk)
                    if self._size > BODY_BYTES:
                        await _drain(stream)
                        raise TooLarge
                    feed(chunk)
                    self._file.write(chunk)
        except TimeoutError:
            raise TooSlow from None

    def read(self) -> bytes:
        self._file.seek(0)
        return self._file.read()


async def _drain(stream: AsyncIterator[bytes]) -> None:
    dropped = 0
    async for chunk in stream:
        dropped += len(chunk)
        if dropped > DRAINED_BYTES:
            return
