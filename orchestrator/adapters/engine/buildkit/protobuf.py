"""Protobuf's wire format, as far as BuildKit's messages use it. Pure.

Each field is a key (number << 3 | type), then a varint, or a length and that many octets. A dozen small messages do
not pay for generated code, and BuildKit has no Python client.
"""

from collections.abc import Iterator

Fields = dict[int, list[int | bytes]]
"""The fields of one message by number, repeated ones in order."""


def decode(data: bytes) -> Fields:
    """Read one message. Raises ValueError for what is not protobuf."""
    fields: Fields = {}
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        value: int | bytes
        match key & 7:
            case 0:
                value, position = _varint(data, position)
            case 1:
                value, position = data[position : position + 8], position + 8
            case 2:
                length, position = _varint(data, position)
                value, position = data[position : position + length], position + length
            case 5:
                value, position = data[position : position + 4], position + 4
            case other:
                raise ValueError(f"no such wire type: {other}")
        if position > len(data):
            raise ValueError("a field ends after its message")
        fields.setdefault(key >> 3, []).append(value)
    return fields


def encode(*fields: tuple[int, int | bytes | str]) -> bytes:
    """Write one message. As everywhere in protobuf 3, 0 and the empty text are what is not written."""
    message = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            if value:
                message += varint(number << 3) + varint(value)
        elif value:
            data = value.encode(errors="surrogateescape") if isinstance(value, str) else value
            message += varint(number << 3 | 2) + varint(len(data)) + data
    return bytes(message)


def varint(number: int) -> bytes:
    octets = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits in each octet
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)


def messages(fields: Fields, number: int) -> Iterator[Fields]:
    """The messages that a repeated field holds."""
    return (decode(value) for value in fields.get(number, []) if isinstance(value, bytes))


def octets(fields: Fields, number: int) -> bytes:
    value = fields.get(number, [b""])[-1]
    return value if isinstance(value, bytes) else b""


def text(fields: Fields, number: int) -> str:
    return octets(fields, number).decode(errors="replace")


def integer(fields: Fields, number: int) -> int:
    value = fields.get(number, [0])[-1]
    return value if isinstance(value, int) else 0


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data):
            raise ValueError("a number ends after its message")
        octet = data[position]
        value |= (octet & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if not octet & 0x80:
            return value, position
