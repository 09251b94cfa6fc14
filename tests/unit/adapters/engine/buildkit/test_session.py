"""The session's services and the gRPC that carries them, asked by a client of HTTP/2 as BuildKit is one."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import NoReturn

import h2.config
import h2.connection
import h2.events
import pytest

from orchestrator.adapters.engine.buildkit import protobuf
from orchestrator.adapters.engine.buildkit.grpc import Server, frame
from orchestrator.adapters.engine.buildkit.session import Services
from orchestrator.adapters.engine.registry_auth import Credentials, RegistryAuth
from tests.support.context import MemoryContext, Zeros

SIZE = 1 << 20


class End:
    """One end of a connection in memory."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[bytes] = asyncio.Queue()
        self.other = self

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002, ASYNC109 - httpcore's
        return await self.arrived.get()

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - httpcore's
        if buffer:
            self.other.arrived.put_nowait(buffer)

    def close(self) -> None:
        self.other.arrived.put_nowait(b"")


class Client:
    """Asks one call at a time, and takes no more than it acknowledges."""

    def __init__(self, end: End, server: Server) -> None:
        self.end = end
        self.server = server
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.next = 1
        self.most_unacknowledged = 0

    async def ask(self, path: str, *messages: bytes, acknowledge: bool = True, **metadata: str) -> tuple[str, bytes]:
        """The status, and the answer's octets."""
        stream, self.next = self.next, self.next + 2
        headers = [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", path)]
        self.h2.send_headers(stream, headers + [(name.replace("_", "-"), value) for name, value in metadata.items()])
        self.h2.send_data(stream, b"".join(map(frame, messages)), end_stream=True)
        data, unacknowledged = b"", 0
        while True:
            await self.end.write(self.h2.data_to_send())
            for event in self.h2.receive_data(await self.end.read(0)):
                match event:
                    case h2.events.DataReceived():
                        data += event.data
                        unacknowledged += event.flow_controlled_length
                        self.most_unacknowledged = max(self.most_unacknowledged, unacknowledged)
                    case h2.events.TrailersReceived(headers=trailers):
                        return {str(name): str(value) for name, value in trailers}["grpc-status"], data
                    case _:
                        continue
            if acknowledge and unacknowledged:
                self.h2.acknowledge_received_data(unacknowledged, stream)
                unacknowledged = 0


class Broken(MemoryContext):
    """A folder that cannot be read."""

    def reading(self) -> NoReturn:
        raise OSError("the disk is gone")


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    ours, theirs = End(), End()
    ours.other, theirs.other = theirs, ours
    services = Services(
        folders={"context": MemoryContext({"big": Zeros(SIZE)}), "broken": Broken()},
        secrets={"word": b"abc"},
        registries=RegistryAuth({"r.test": Credentials(username="u", password="p"), "t.test": Credentials(token="t")}),
    )
    server = Server(theirs, services.handlers())
    serving = asyncio.create_task(server.serve())
    found = Client(ours, server)
    try:
        yield found
    finally:
        ours.close()
        await serving


def one(data: bytes) -> protobuf.Fields:
    assert len(data) == 5 + int.from_bytes(data[1:5], "big")
    return protobuf.decode(data[5:])


async def test_a_secret_by_its_name(client: Client) -> None:
    path = "/moby.buildkit.secrets.v1.Secrets/GetSecret"
    status, data = await client.ask(path, protobuf.encode((1, "word")))
    assert (status, one(data)) == ("0", {1: [b"abc"]})
    assert await client.ask(path, protobuf.encode((1, "other"))) == ("5", b"")


@pytest.mark.parametrize(
    ("host", "fields"), [("r.test", {1: [b"u"], 2: [b"p"]}), ("t.test", {2: [b"t"]}), ("other.test", {})]
)
async def test_credentials_of_a_registry(client: Client, host: str, fields: Mapping[int, list[bytes]]) -> None:
    status, data = await client.ask("/moby.filesync.v1.Auth/Credentials", protobuf.encode((1, host)))
    assert (status, one(data)) == ("0", fields)


async def test_health(client: Client) -> None:
    status, data = await client.ask("/grpc.health.v1.Health/Check", b"")
    assert (status, one(data)) == ("0", {1: [1]})


async def test_what_is_not_served(client: Client) -> None:
    assert await client.ask("/moby.filesync.v1.Auth/GetTokenAuthority", b"") == ("12", b"")
    status, _ = await client.ask("/moby.filesync.v1.FileSync/DiffCopy", dir_name="elsewhere")
    assert status == "5"


async def test_files_obey_flow_control(client: Client) -> None:
    request = protobuf.encode((1, 1)), protobuf.encode((1, 3))
    status, data = await client.ask("/moby.filesync.v1.FileSync/DiffCopy", *request, dir_name="context")
    assert status == "0"
    assert data.count(b"\0" * 1024) >= SIZE // 1024 - 2 * SIZE // (32 * 1024)
    assert client.most_unacknowledged <= 65_535


async def test_who_does_not_acknowledge_is_waited_for(client: Client) -> None:
    request = protobuf.encode((1, 1)), protobuf.encode((1, 3))
    asking = client.ask("/moby.filesync.v1.FileSync/DiffCopy", *request, acknowledge=False, dir_name="context")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asking, 0.5)
    assert client.most_unacknowledged == 65_535


async def test_a_failure_of_ours_is_kept_and_not_told(client: Client) -> None:
    assert await client.ask("/moby.filesync.v1.FileSync/DiffCopy", dir_name="broken") == ("13", b"")
    assert str(client.server.failure) == "the disk is gone"


async def test_a_compressed_message_ends_its_call_only(client: Client) -> None:
    stream, client.next = client.next, client.next + 2
    headers = [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", "/grpc.health.v1.Health/Check")]
    client.h2.send_headers(stream, headers)
    client.h2.send_data(stream, b"\1\0\0\0\0")
    assert (await client.ask("/grpc.health.v1.Health/Check", b""))[0] == "0"
