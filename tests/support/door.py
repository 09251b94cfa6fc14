"""A door in front of a server: tests shut it, hold what passes through it, or answer in the server's place."""

import asyncio
import contextlib
import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

CHUNK = 64 * 1024


class Door:
    """Leads to a socket's path, or to a port of this machine. It is open at first."""

    def __init__(self, target: str | int) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._answer: bytes | None = None
        self._home = tempfile.TemporaryDirectory(prefix="previewd-door-")
        self.path = str(Path(self._home.name) / "socket")
        """Where it is, when it leads to a path."""
        self.port = 0
        """The same for a port."""
        self.passed = 0
        """How many connections were taken."""

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.shut()
        self._home.cleanup()

    async def open(self) -> None:
        """Let everybody through, from now on and those who were held."""
        self._answer = None
        self._open.set()
        if self._server is not None:
            return
        if isinstance(self._target, str):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)  # noqa: PTH108 - at once
            self._server = await asyncio.start_unix_server(self._pass, self.path)
        else:
            self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Refuse everybody, and cut off who is inside."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.reset()
        self._open.set()

    def reset(self) -> None:
        """Cut off who is inside."""
        for writer in list(self._writers):
            writer.transport.abort()

    def stall(self) -> None:
        """Let everybody in, and nothing through."""
        self._open.clear()

    def answer(self, answer: bytes) -> None:
        """Answer every new connection with this, and cut off who is inside."""
        self._answer = answer
        self.reset()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.passed += 1
        self._writers.add(writer)
        with contextlib.suppress(ConnectionError, OSError):
            if self._answer is not None:
                await reader.read(CHUNK)
                writer.write(self._answer)
                await writer.drain()
            else:
                await self._through(reader, writer)
        self._writers.discard(writer)
        writer.close()

    async def _through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        if isinstance(self._target, str):
            inner_reader, inner_writer = await asyncio.open_unix_connection(self._target)
        else:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers.add(inner_writer)
        try:
            there = asyncio.create_task(self._pump(reader, inner_writer))
            back = asyncio.create_task(self._pump(inner_reader, writer))
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
            there.cancel()
            back.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
        finally:
            self._writers.discard(inner_writer)
            inner_writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            await self._open.wait()
            writer.write(data)
            await writer.drain()
