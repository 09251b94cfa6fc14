"""Ports that the embedded servers listen on: checked before a server starts, because the servers do not all mind.

Postgres goes on when it cannot listen on one of its addresses, and then never answers where it should.
"""

import asyncio
import errno
import socket
from contextlib import suppress

from orchestrator.preview.errors import ConfigurationError

CONNECT_SECONDS = 3.0


def require_free(name: str, address: str, port: int) -> None:
    """ConfigurationError when `name` could not listen there."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise ConfigurationError(
                f"{name} cannot listen on {address}:{port}: {error.strerror}", _remedy(error)
            ) from None


def free_port(address: str) -> int:
    """A port that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


async def listens(address: str, port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(address, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


def _remedy(error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return "stop what listens there, or choose another port"
        case errno.EADDRNOTAVAIL:
            return "this machine has no such address: start the Docker Engine, or correct the address"
        case errno.EACCES:
            return "choose a port above 1023, or run previewd with the right to use this one"
        case _:
            return "choose another address or port"
