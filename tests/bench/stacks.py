"""How fast a stack comes up, and a Compose file is read: our launch step and reader against the Compose binary.

Both sides start the same stacks from images that are there, on the same Engine, in turn. Ours ends when the launch
step does, with every container healthy; the peer's when `up --detach --wait` returns, which means the same.
"""

import asyncio
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from pydantic import SecretStr

from orchestrator.compose.services.stack import read
from orchestrator.runtime.settings import asyncpg_url
from orchestrator.store.connection import connect
from orchestrator.store.migrate import migrate
from tests.bench.compose_peer import binary
from tests.bench.figures import Figure
from tests.support.engine import engine_url
from tests.support.images import BASE_IMAGE
from tests.support.launching import Launcher, launcher
from tests.support.servers import servers

SIZES = (1, 2, 5, 12)
ROUNDS = 5
READINGS = 20
LONG_FILE_LINES = 300

_UP = ("up", "--detach", "--wait", "--pull", "never")
_SERVE = "python -m http.server 8000"
_TEST = "test: [CMD, python, -c, 'import socket; socket.create_connection((\"127.0.0.1\", 8000))']"
_CHECK = f"healthcheck: {{{_TEST}, interval: 2s, timeout: 5s, retries: 10}}"
"""Every two seconds: closer together than in most files, which is to the peer's advantage."""

_LONG_SERVICE = """\
  NAME:
    image: registry.example.com/shop/NAME:${TAG:-latest}
    command: [serve, --port, "8000"]
    environment:
      DATABASE_HOST: db
      LEVEL: ${LEVEL:-info}
      WORKERS: 4
      PRICE: $$5
    ports:
      - "8000"
      - target: 9000
        protocol: tcp
    depends_on:
      db:
        condition: service_healthy
        restart: true
    healthcheck:
      test: ["CMD", "curl", "-f", "http://localhost:8000/health"]
      interval: 10s
      retries: 5
    volumes:
      - data:/data
      - type: tmpfs
        target: /scratch
    networks:
      back:
        aliases: [NAME-internal]
    deploy:
      resources:
        limits: {memory: 256m, cpus: "0.5"}
"""
_LONG_TOP = """\
  db:
    image: mongo:7
    networks: [back]
    healthcheck: {test: "true", interval: 5s}
networks:
  back:
volumes:
  data:
"""


async def stacks() -> list[Figure]:
    """`up` for stacks of each size, and reading a long file."""
    with servers() as started:
        database = connect(asyncpg_url(SecretStr(started.postgres_url)))
        try:
            await migrate(database)
            async with launcher(database) as ours:
                up = [await _up(ours, size) for size in SIZES]
        finally:
            await database.dispose()
    return [*up, await asyncio.to_thread(_reading)]


def stack_of(size: int) -> str:
    """Applications that listen and say so. Every second one waits until the one at half its number is healthy."""
    services = "".join(_service(number) for number in range(size))
    return f"services:\n{services}volumes:\n  data:\n"


def long_file() -> str:
    """What such a file is made of: variables, lists and maps, short and long forms, one block after the other."""
    blocks = LONG_FILE_LINES // len(_LONG_SERVICE.splitlines())
    return "services:\n" + "".join(_LONG_SERVICE.replace("NAME", f"s{n}") for n in range(blocks)) + _LONG_TOP


def _service(number: int) -> str:
    lines = [f"image: {BASE_IMAGE}", f"command: {_SERVE}", "expose: [8000]", _CHECK]
    if number % 2:
        lines.append(f"depends_on: {{s{number // 2}: {{condition: service_healthy}}}}")
    if number == 0:
        lines.append("volumes: ['data:/data']")
    return f"  s{number}:\n" + "".join(f"    {line}\n" for line in lines)


async def _up(ours: Launcher, size: int) -> Figure:
    """The first round warms both and is not counted."""
    text = stack_of(size)
    pairs = [(await _ours(ours, text), await asyncio.to_thread(_theirs, text)) for _ in range(ROUNDS + 1)][1:]
    mine, peers = zip(*pairs, strict=True)
    return Figure(
        name=f"up, {size} service{'s' if size > 1 else ''}, to all healthy",
        unit="s",
        ours=mine,
        peers=peers,
        peer="compose up --detach --wait, checks every 2 s",
        aim="≤ 0.4 ×",
    )


async def _ours(launcher: Launcher, text: str) -> float:
    preview = await launcher.open()
    try:
        began = time.monotonic()
        await preview.up(text)
        return time.monotonic() - began
    finally:
        await preview.down()


def _theirs(text: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "compose.yaml").write_text(text)
        project = f"previewdbench{uuid4().hex[:8]}"
        try:
            return _seconds_of(lambda: _compose(folder, "--project-name", project, *_UP))
        finally:
            _compose(folder, "--project-name", project, "down", "--volumes", "--timeout", "0")


def _reading() -> Figure:
    """As the worker reads it: in its own process. The peer is a program that has to be started first."""
    text = long_file()
    files = {"compose.yaml": text.encode()}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "compose.yaml").write_text(text)
        pairs = [
            (
                1000 * _seconds_of(lambda: read(files, "compose.yaml", {})),
                1000 * _seconds_of(lambda: _compose(folder, "--project-name", "bench", "config", "--format", "json")),
            )
            for _ in range(READINGS + 1)
        ][1:]
    mine, peers = zip(*pairs, strict=True)
    return Figure(
        name=f"reading a Compose file of {len(text.splitlines())} lines",
        unit="ms",
        ours=mine,
        peers=peers,
        peer="compose config, a program of its own",
        aim="≤ 0.5 ×",
    )


def _seconds_of(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _compose(folder: str, *arguments: str) -> None:
    environment = os.environ | {"DOCKER_HOST": engine_url()}
    done = subprocess.run(
        [str(binary()), *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed: {done.stderr[-2000:]}")
