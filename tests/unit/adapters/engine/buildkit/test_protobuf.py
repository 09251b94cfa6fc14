"""Protobuf's wire format, against octets that protobuf's own documentation and BuildKit gave."""

import pytest

from orchestrator.adapters.engine.buildkit import protobuf


def test_the_examples_of_the_format() -> None:
    assert protobuf.encode((1, 150)) == bytes.fromhex("089601")
    assert protobuf.encode((2, "testing")) == bytes.fromhex("120774657374696e67")
    assert protobuf.decode(bytes.fromhex("089601120774657374696e67")) == {1: [150], 2: [b"testing"]}


def test_what_is_zero_or_empty_is_not_written() -> None:
    assert protobuf.encode((1, 0), (2, b""), (3, "")) == b""


def test_names_that_are_no_text_keep_their_octets() -> None:
    assert protobuf.octets(protobuf.decode(protobuf.encode((1, "o\udcff"))), 1) == b"o\xff"


def test_repeated_fields_and_missing_ones() -> None:
    fields = protobuf.decode(protobuf.encode((1, protobuf.encode((2, 5))), (1, protobuf.encode((2, 6))), (3, b"x")))
    assert [protobuf.integer(message, 2) for message in protobuf.messages(fields, 1)] == [5, 6]
    assert (protobuf.integer(fields, 9), protobuf.text(fields, 9), protobuf.integer(fields, 3)) == (0, "", 0)


@pytest.mark.parametrize("data", [b"\x0b", b"\x0a\x05ab", b"\x08\xff", b"\x80", b"\x09\x01"])
def test_what_is_not_protobuf_is_told(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"ends after its message|no such wire type"):
        protobuf.decode(data)
