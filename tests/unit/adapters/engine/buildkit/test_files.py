"""fsutil's protocol: what is told of a folder, and which of it is sent."""

from collections.abc import AsyncIterator, Iterable

import pytest

from orchestrator.adapters.engine.buildkit import protobuf
from orchestrator.adapters.engine.buildkit.files import (
    CHUNK_OCTETS,
    DockerfileFolder,
    PacketType,
    asked_for,
    diff_copy,
    packet,
    stat_packet,
)
from orchestrator.adapters.engine.buildkit.grpc import Call, Code, RpcError
from tests.support.context import Folder, Link, MemoryContext, Program, Zeros


class Recorded(Call):
    """A call in which BuildKit says these packets; keeps what it was sent."""

    def __init__(self, *said: bytes, **metadata: list[str]) -> None:
        self.metadata = metadata
        self.said = said
        self.sent: list[bytes] = []

    async def messages(self) -> AsyncIterator[bytes]:
        for message in self.said:
            yield message

    async def send(self, message: bytes) -> None:
        self.sent.append(message)


def test_the_octets_of_packets() -> None:
    """As fsutil writes them: field 1 the type, 2 the stat, 3 the number, 4 the data."""
    assert packet(PacketType.STAT) == b""
    assert packet(PacketType.FIN).hex() == "0803"
    assert packet(PacketType.DATA, id_=300, data=b"ab").hex() == "080218ac0222026162"
    (folder,) = MemoryContext({"e": Folder()}).entries
    assert stat_packet(folder).hex() == "12130a016510ed8380800830808090bbbad6adf00d"


def told(entry_of: str, context: MemoryContext) -> protobuf.Fields:
    entry = next(entry for entry in context.entries if entry.path == entry_of)
    return next(protobuf.messages(protobuf.decode(stat_packet(entry)), 2))


def test_kinds_and_permissions_are_gos() -> None:
    context = MemoryContext({"d/run": Program("x"), "d/l": Link("../a"), "a": "12"})
    modes = {path: protobuf.integer(told(path, context), 2) for path in ("d", "d/run", "d/l", "a")}
    assert modes == {"d": 1 << 31 | 0o755, "d/run": 0o755, "d/l": 1 << 27 | 0o777, "a": 0o644}
    assert protobuf.text(told("d/l", context), 7) == "../a"
    assert protobuf.integer(told("a", context), 5) == 2


def test_a_files_time_is_its_contents() -> None:
    one, same, other = (protobuf.integer(told("a", MemoryContext({"a": text})), 6) for text in ("x", "x", "y"))
    assert one == same
    assert one != other
    assert all(10**18 <= time < 10**18 + 2**56 for time in (one, other))


TREE = MemoryContext({"a": "", "d/b": "", "d/e/f": "", "dd/x": "", "l": Link("a"), ".dockerignore": ""})


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        (["a"], ["a"]),
        (["/a"], ["a"]),
        (["d/b"], ["d", "d/b"]),
        (["d/"], ["d", "d/b", "d/e", "d/e/f"]),
        (["d/e", "a"], ["a", "d", "d/e", "d/e/f"]),
        (["none"], []),
        ([".dockerignore"], [".dockerignore"]),
    ],
)
def test_what_is_asked_for(paths: list[str], found: list[str]) -> None:
    assert [entry.path for entry in asked_for(TREE.entries, paths)] == found


@pytest.mark.parametrize("paths", [[], ["."], ["/"], ["d/*"], ["l"], ["l/x"], ["a", "[b]"]])
def test_all_of_it_is_told_where_that_is_not_plain(paths: Iterable[str]) -> None:
    assert asked_for(TREE.entries, paths) == TREE.entries


async def test_a_file_that_is_asked_for() -> None:
    context = MemoryContext({"a": "1", "d/b": Zeros(CHUNK_OCTETS + 1)})
    call = Recorded(packet(PacketType.REQUEST, id_=2), packet(PacketType.FIN), packet(PacketType.REQUEST))
    await diff_copy(context, call)
    listed = [stat_packet(entry) for entry in context.entries]
    assert call.sent == [
        *listed,
        b"",
        packet(PacketType.DATA, id_=2, data=bytes(CHUNK_OCTETS)),
        packet(PacketType.DATA, id_=2, data=b"\0"),
        packet(PacketType.DATA, id_=2),
        packet(PacketType.FIN),
    ]
    assert context.read == ["d/b"]


@pytest.mark.parametrize("number", [1, 9])
async def test_what_is_no_file_is_not_sent(number: int) -> None:
    with pytest.raises(RpcError) as raised:
        await diff_copy(MemoryContext({"a": "", "d": Folder()}), Recorded(packet(PacketType.REQUEST, id_=number)))
    assert raised.value.code is Code.NOT_FOUND


async def test_paths_that_travel_encoded() -> None:
    call = Recorded(**{"followpaths": ["%C3%A9+x"], "followpaths-encoded": ["1"]})
    await diff_copy(MemoryContext({"é x": "", "other": ""}), call)
    assert len(call.sent) == 2


async def test_a_dockerfile_is_alone_in_its_folder() -> None:
    call = Recorded(packet(PacketType.REQUEST), packet(PacketType.FIN))
    await diff_copy(DockerfileFolder("Dockerfile", b"FROM scratch"), call)
    assert packet(PacketType.DATA, data=b"FROM scratch") in call.sent
    assert len(call.sent) == 5
