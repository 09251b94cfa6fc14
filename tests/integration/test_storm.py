"""Five hundred pull requests in a minute: every delivery is taken in, and each pull request ends live or waiting.

The receiver is a real process; the worker's Engine and databases are in memory, with room for some of them.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import uvloop
from pydantic import SecretStr

from orchestrator.preview.state import State
from orchestrator.runtime.settings import asyncpg_url
from orchestrator.store.connection import connect
from tests.support.scene import Scene, work
from tests.support.servers import Servers, web_process
from webhooks.receiver.signature import sign

SECRET = "a webhook secret"
PULLS = 500
ROOM = 60
"""So many previews' databases fit the server: the others wait in line."""
CLIENTS = 8
MIB = 1 << 20

SMALL = "services: {app: {build: ., expose: ['8000']}}\n"


def test_a_storm_of_pull_requests(
    real_servers: Servers, database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        told = runner.run(_storm(real_servers.redis_url, database_url, tmp_path))
    with capsys.disabled():
        print(f" {told}", end="")


async def _storm(redis_url: str, database_url: str, data_dir: Path) -> str:
    database = connect(asyncpg_url(SecretStr(database_url)), pool_size=10, ping=False)
    scene = Scene.set(database, data_dir)
    world = scene.world
    world.files["compose.yaml"] = SMALL.encode()
    needed = world.context.settings.connections_per_preview
    world.databases.max_connections = ROOM * needed + 13
    for number in range(1, PULLS + 1):
        world.pulls[number] = replace(world.pull, number=number)
    web_settings = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "GITHUB_WEBHOOK_SECRET": SECRET}
    try:
        async with web_process(web_settings) as web:
            taken, _ = await asyncio.gather(_send(f"http://{web.web}", world.preview.repository), _work(scene))
            peak = _peak_bytes(web.process.pid) if web.process else 0
        ended = await world.queries.all()
        states = Counter(preview.state for preview in ended)
        assert len(ended) == PULLS
        assert states[State.READY] == ROOM, states
        assert states[State.WAITING] == PULLS - ROOM, states
        assert all(preview.reason for preview in ended)
        return _told(taken, peak, states)
    finally:
        await database.dispose()


async def _send(url: str, repository: int) -> list[float]:
    """Faster than a minute: as fast as several clients get their answers. Returns what each took, in seconds."""
    numbers = iter(range(1, PULLS + 1))
    taken: list[float] = []
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:

        async def send() -> None:
            for number in numbers:
                content = _payload(repository, number)
                headers = {
                    "X-GitHub-Event": "pull_request",
                    "X-GitHub-Delivery": str(uuid4()),
                    "X-Hub-Signature-256": sign(SECRET, content),
                }
                began = time.monotonic()
                answer = await client.post("/webhooks/github", content=content, headers=headers)
                taken.append(time.monotonic() - began)
                assert answer.status_code == httpx.codes.ACCEPTED, answer.text

        await asyncio.gather(*(send() for _ in range(CLIENTS)))
    return taken


async def _work(scene: Scene) -> None:
    """One worker, from the first delivery until a sweep finds all of them, and nothing left to do."""
    quiet = 0
    while quiet < 2:
        busy = await work(scene.world.context, scene.redis)
        everybody = len(await scene.world.queries.all()) == PULLS
        quiet = 0 if busy or not everybody else quiet + 1
        await asyncio.sleep(0 if busy else 0.05)


def _payload(repository: int, number: int) -> bytes:
    pull = {"number": number, "title": "One of many", "user": {"login": "ada"}, "head": {"ref": "feature"}}
    payload = {
        "action": "opened",
        "number": number,
        "repository": {"id": repository, "full_name": "acme/storm"},
        "pull_request": pull,
    }
    return json.dumps(payload).encode()


def _peak_bytes(process: int) -> int:
    """The most that it ever had in memory."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


def _told(taken: Sequence[float], peak: int, states: Counter[State]) -> str:
    ordered = sorted(taken)
    middle, most = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99) - 1]
    ends = ", ".join(f"{count} {state}" for state, count in states.items())
    return (
        f"{len(taken)} × 202, p50 {middle * 1000:.0f} ms, p99 {most * 1000:.0f} ms, "
        f"web process at most {peak / MIB:.0f} MiB; {ends}"
    )
