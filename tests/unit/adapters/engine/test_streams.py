"""Streams of the Engine in whatever pieces the network makes of them."""

import json
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest

from orchestrator.adapters.engine import engine, streams
from orchestrator.adapters.engine.engine import DockerEngine
from orchestrator.adapters.engine.registry_auth import RegistryAuth
from orchestrator.preview.errors import LaunchError


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def response(chunks: Sequence[bytes], status: int = 200) -> httpx.Response:
    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return httpx.Response(status, content=stream())


def frame(stream: int, text: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text


@pytest.mark.parametrize("size", [1, 3, 8, 1000])
async def test_frames_are_put_together(size: int) -> None:
    data = frame(1, b"one\n") + frame(2, b"") + frame(2, b"\x01two" * 20) + frame(1, b"\xff")
    found = [text async for text in streams.output(response(pieces(data, size)), framed=True)]
    assert b"".join(found) == b"one\n" + b"\x01two" * 20 + b"\xff"


async def test_a_terminal_has_no_frames() -> None:
    found = [text async for text in streams.output(response([b"a", b"b"]), framed=False)]
    assert found == [b"a", b"b"]


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_json_lines_end_at_line_feeds_alone(size: int) -> None:
    messages = [{"stream": "a\u0085b\u2028c"}, {"n": 1}, {"last": True}]
    data = b"\r\n".join(json.dumps(message, ensure_ascii=False).encode() for message in messages)
    found = [message async for message in streams.json_lines(response(pieces(data, size)))]
    assert found == messages


@pytest.mark.parametrize(
    ("body", "words"),
    [(b'{"message":"no such thing"}', "no such thing"), (b"plain", "plain"), (b"", "HTTP 500"), (b"[1]", "[1]")],
)
async def test_the_engines_own_words(body: bytes, words: str) -> None:
    assert await streams.refusal(response([body], 500)) == words


async def pulled(answer: httpx.Response) -> list[str]:
    lines: list[str] = []

    async def log(line: str) -> None:
        lines.append(line)

    transport = httpx.MockTransport(lambda _: answer)
    async with httpx.AsyncClient(transport=transport, base_url="http://docker") as client:
        await engine._pull(client, "example.com/app:1", RegistryAuth(), log)
    return lines


async def test_a_pull_tells_its_steps_and_not_every_octet() -> None:
    messages = [
        {"status": "Pulling from app", "id": "1"},
        {"status": "Downloading", "progressDetail": {"current": 1, "total": 2}, "id": "ab12"},
        {"status": "Pull complete", "progressDetail": {}, "id": "ab12"},
        {"status": "Digest: sha256:0"},
    ]
    lines = await pulled(response([json.dumps(message).encode() + b"\r\n" for message in messages]))
    assert lines == ["1: Pulling from app", "ab12: Pull complete", "Digest: sha256:0"]


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("pull access denied for app, repository does not exist or may require 'docker login'", "credentials"),
        ("manifest for app:1 not found: manifest unknown", "tag"),
        ("Get https://example.com/v2/: dial tcp: lookup example.com: no such host", "reaches"),
    ],
)
@pytest.mark.parametrize("status", [200, 404])
async def test_a_refused_pull_says_why_and_what_to_do(words: str, remedy: str, status: int) -> None:
    body = {"message": words} if status != httpx.codes.OK else {"error": words, "errorDetail": {"message": words}}
    with pytest.raises(LaunchError) as raised:
        await pulled(response([json.dumps(body).encode()], status))
    assert words in raised.value.message
    assert remedy in raised.value.remedy


async def test_only_the_end_of_a_log_is_kept() -> None:
    async def endless() -> AsyncIterator[bytes]:
        for number in range(100):
            yield b"%d" % (number % 10) * 10

    assert await engine._end(endless(), 25) == b"7" * 5 + b"8" * 10 + b"9" * 10


def test_an_engine_is_made_without_calling_it() -> None:
    DockerEngine("tcp://127.0.0.1:9")
