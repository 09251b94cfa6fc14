"""A small gRPC server over one HTTP/2 connection that is open already. BuildKit is its only client.

h2 knows the protocol and does no I/O; here are the connection, the calls' tasks and the waiting for flow control:
nobody sends more than the other side's windows allow, so a call holds one piece of its data at a time.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from enum import IntEnum
from typing import Protocol
from urllib.parse import quote

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import httpcore

from orchestrator.runtime import fence

READ_OCTETS = 64 * 1024
WRITE_OCTETS = 64 * 1024
"""Small messages are gathered until there are this many octets of them."""
MESSAGE_OCTETS = 4 << 20
"""The longest message that is taken: gRPC's own limit."""
MESSAGE_HEADER = 5
"""Octets before each message: whether it is compressed, and its length (big-endian)."""
GONE = (h2.exceptions.ProtocolError, httpcore.NetworkError)
"""What it looks like when the call, or the whole connection, ends while we use it."""


class Code(IntEnum):
    """gRPC's status codes, those in use."""

    OK = 0
    NOT_FOUND = 5
    UNIMPLEMENTED = 12
    INTERNAL = 13


class RpcError(Exception):
    """How a call ends that does not succeed."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Stream(Protocol):
    """The open connection."""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes: ...  # noqa: ASYNC109 - httpcore's
    async def write(self, buffer: bytes, timeout: float | None = None) -> None: ...  # noqa: ASYNC109 - httpcore's


class Call:
    """One call of the client: what it sends, and what it is sent."""

    def __init__(self, server: "Server", stream_id: int, metadata: Mapping[str, list[str]]) -> None:
        self.metadata = metadata
        self._server = server
        self._stream_id = stream_id
        self._received: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._incomplete = bytearray()
        self._unsent = bytearray()

    async def messages(self) -> AsyncIterator[bytes]:
        """What the client sends, until it has said all. Before waiting for it, what was kept is sent."""
        while True:
            if self._received.empty():
                await self.flush()
            message = await self._received.get()
            if message is None:
                return
            yield message

    async def message(self) -> bytes:
        """The one message of a call that has one."""
        return await self._received.get() or b""

    async def send(self, message: bytes) -> None:
        """Send a message, or keep it until there are more of them."""
        self._unsent += frame(message)
        if len(self._unsent) >= WRITE_OCTETS:
            await self.flush()

    async def flush(self) -> None:
        """Send all that was kept."""
        data, self._unsent = bytes(self._unsent), bytearray()
        await self._server.send_data(self._stream_id, data)

    def receive(self, data: bytes) -> None:
        """Take octets off the wire. Raises ValueError for what no message can be."""
        self._incomplete += data
        while len(self._incomplete) >= MESSAGE_HEADER:
            length = int.from_bytes(self._incomplete[1:MESSAGE_HEADER], "big")
            if self._incomplete[0] or length > MESSAGE_OCTETS:
                raise ValueError("a gRPC message is compressed or too long")
            if len(self._incomplete) < MESSAGE_HEADER + length:
                break
            self._received.put_nowait(bytes(self._incomplete[MESSAGE_HEADER : MESSAGE_HEADER + length]))
            del self._incomplete[: MESSAGE_HEADER + length]

    def end(self) -> None:
        """The client has said all."""
        self._received.put_nowait(None)


Handler = Callable[[Call], Awaitable[None]]


class Server:
    """Answers calls by `handlers`, which are named by path, as in `/package.Service/Method`."""

    def __init__(self, stream: Stream, handlers: Mapping[str, Handler]) -> None:
        self._stream = stream
        self._handlers = handlers
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self._calls: dict[int, Call] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._writing = asyncio.Lock()
        self._window_grew = asyncio.Event()
        self.failure: Exception | None = None
        """The first exception that a handler raised, other than RpcError."""

    async def serve(self) -> None:
        """Answer until the other side closes the connection, or our task is cancelled."""
        self._h2.initiate_connection()
        try:
            await self._write()
            while data := await self._stream.read(READ_OCTETS):
                for event in self._h2.receive_data(data):
                    self._take(event)
                await self._write()
        except GONE:
            return
        finally:
            tasks = [*self._tasks.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def send_data(self, stream_id: int, data: bytes) -> None:
        """Send octets of a call, waiting for the windows of the call and of the connection.

        Raises LeaseLost: a build that its worker has lost is not fed any more, and fails.
        """
        fence.require()
        unsent = memoryview(data)
        while unsent:
            if size := min(len(unsent), self._window(stream_id)):
                self._h2.send_data(stream_id, bytes(unsent[:size]))
                unsent = unsent[size:]
                continue
            await self._write()
            if not self._window(stream_id):
                self._window_grew.clear()
                await self._window_grew.wait()
        await self._write()

    def _window(self, stream_id: int) -> int:
        """How much of a call's data may be sent at once."""
        window = self._h2.local_flow_control_window(stream_id)
        return max(0, min(window, self._h2.max_outbound_frame_size))

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=stream_id, headers=headers):
                self._start(stream_id, headers)
            case h2.events.DataReceived(stream_id=stream_id, data=data, flow_controlled_length=length):
                self._receive(stream_id, data, length)
            case h2.events.StreamEnded(stream_id=stream_id):
                if call := self._calls.get(stream_id):
                    call.end()
            case h2.events.StreamReset(stream_id=stream_id):
                if task := self._tasks.get(stream_id):
                    task.cancel()
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                self._window_grew.set()
            case _:
                return  # pings and the like, which h2 answers by itself

    def _start(self, stream_id: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Paths come as metadata, and may be no text."""
        metadata: dict[str, list[str]] = {}
        for name, value in headers:
            metadata.setdefault(name.decode(), []).append(value.decode(errors="surrogateescape"))
        call = self._calls[stream_id] = Call(self, stream_id, metadata)
        self._tasks[stream_id] = asyncio.create_task(self._answer(stream_id, call))

    def _receive(self, stream_id: int, data: bytes, length: int) -> None:
        self._h2.acknowledge_received_data(length, stream_id)
        call = self._calls.get(stream_id)
        if call is None:
            return
        try:
            call.receive(data)
        except ValueError:
            self._h2.reset_stream(stream_id)
            self._tasks[stream_id].cancel()

    async def _answer(self, stream_id: int, call: Call) -> None:
        """A call that is cancelled, or whose connection is gone, gets no answer."""
        try:
            self._h2.send_headers(stream_id, [(":status", "200"), ("content-type", "application/grpc")])
            status = await self._outcome(call)
            trailers = [("grpc-status", str(status.code.value)), ("grpc-message", quote(status.message))]
            self._h2.send_headers(stream_id, trailers, end_stream=True)
            await self._write()
        except GONE:
            return
        finally:
            del self._calls[stream_id], self._tasks[stream_id]

    async def _outcome(self, call: Call) -> RpcError:
        try:
            await self._handler(call)(call)
            await call.flush()
        except RpcError as error:
            return error
        except GONE:
            raise
        except Exception as error:  # noqa: BLE001 - the edge of a call: kept for whoever started the server
            self.failure = self.failure or error
            return RpcError(Code.INTERNAL, "the answer cannot be given")
        return RpcError(Code.OK, "")

    def _handler(self, call: Call) -> Handler:
        path = call.metadata[":path"][0]
        if path not in self._handlers:
            raise RpcError(Code.UNIMPLEMENTED, f"no such method: {path}")
        return self._handlers[path]

    async def _write(self) -> None:
        """A call that is cancelled meanwhile must not tear what others put in."""
        await asyncio.shield(self._write_all())

    async def _write_all(self) -> None:
        async with self._writing:
            if data := self._h2.data_to_send():
                await self._stream.write(data)


def frame(message: bytes) -> bytes:
    """A message as it travels."""
    return b"\0" + len(message).to_bytes(4, "big") + message
