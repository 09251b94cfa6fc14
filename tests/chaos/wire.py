"""A wire between previewd and the Docker Engine that can be stalled and cut: the Engine itself is not ours to stop."""

import asyncio
import contextlib
from pathlib import Path
from urllib.parse import urlsplit

CHUNK = 65536


class Wire:
    """Listens on a Unix socket and passes everything on to the Engine, and back."""

    def __init__(self, target: str, path: Path) -> None:
        """`target` is the Engine's address, as `unix:///…` or `tcp://HOST:PORT`."""
        self.url = f"unix://{path}"
        self._path = path
        self._target = urlsplit(target)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._is_cut = False
        self._server: asyncio.Server | None = None
        self._calls: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_unix_server(self._call, self._path)

    async def close(self) -> None:
        """End all calls, and listen no more."""
        if self._server is not None:
            self._server.close()
        self._hang_up()
        await asyncio.gather(*self._calls, return_exceptions=True)

    def stall(self) -> None:
        """Let nothing through, in either direction, and break nothing: as an Engine that hangs."""
        self._flowing.clear()

    def cut(self) -> None:
        """Break every call and refuse new ones: as an Engine that restarts."""
        self._is_cut = True
        self._hang_up()

    def mend(self) -> None:
        """Be a wire again."""
        self._is_cut = False
        self._flowing.set()

    def _hang_up(self) -> None:
        for call in self._calls:
            call.cancel()

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = asyncio.current_task()
        assert call is not None
        self._calls.add(call)
        try:
            if not self._is_cut:
                await self._connect(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # either side has gone, or we have hung up
        finally:
            self._calls.discard(call)
            _end(writer, at_once=self._is_cut)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._target.scheme == "unix":
            answers, questions = await asyncio.open_unix_connection(self._target.path)
        else:
            answers, questions = await asyncio.open_connection(self._target.hostname, self._target.port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_on(reader, questions))
                both.create_task(self._pass_on(answers, writer))
        except* OSError:
            pass
        finally:
            _end(questions, at_once=self._is_cut)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()


def _end(writer: asyncio.StreamWriter, *, at_once: bool) -> None:
    if at_once:
        writer.transport.abort()
    else:
        writer.close()  # what is on its way arrives
