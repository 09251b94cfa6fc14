"""How fast webhooks are acknowledged: our receiver and a bare route, under the same load on the same Postgres."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import uuid4

import asyncpg
import httpx
from pydantic import SecretStr

from orchestrator.runtime.settings import asyncpg_url
from orchestrator.store.connection import connect
from orchestrator.store.migrate import migrate
from tests.bench.figures import Figure
from tests.forge import Delivery, Forge
from tests.support.apps import tiny
from tests.support.installation import ROOT, free_port
from tests.support.servers import Servers, servers, web_process
from tests.support.wait import eventually

SECRET = "a webhook secret"
PULLS = 200
DELIVERIES = 1500
CLIENTS = 8
ROUNDS = 3
RATE_PER_MINUTE = 500
PACED = 100


async def acknowledge() -> list[Figure]:
    """The rate against the peer's, and the 99th percentile at 500 a minute. No worker runs: the peer has none."""
    with servers() as started:
        url = await _database(started)
        settings = {
            "DATABASE_URL": url,
            "REDIS_URL": started.redis_url,
            "GITHUB_WEBHOOK_SECRET": SECRET,
            "SECRET_KEY": "of no importance here",
            "ADMIN_TOKEN": "of no importance here",
        }
        async with web_process(settings) as web, _bare_process(url) as theirs:
            ours = f"http://{web.web}/webhooks/github"
            deliveries = _deliveries()
            rounds = [(await _rate(ours, deliveries), await _rate(theirs, deliveries)) for _ in range(ROUNDS)]
            paced = await _paced(ours, deliveries)
    mine, bare = zip(*rounds, strict=True)
    return [
        Figure(
            name="webhooks acknowledged",
            unit="/s",
            ours=mine,
            peers=bare,
            peer="a bare FastAPI route with one insert",
            aim="≥ 0.6 ×",
        ),
        Figure(name=f"acknowledgement, p99 at {RATE_PER_MINUTE}/min", unit="ms", ours=(paced,), aim="< 50 ms"),
    ]


async def _database(started: Servers) -> str:
    """A database of our own, migrated."""
    admin = await asyncpg.connect(started.postgres_url)
    await admin.execute("CREATE DATABASE bench")
    await admin.close()
    url = f"{started.postgres_url.rpartition('/')[0]}/bench"
    engine = connect(asyncpg_url(SecretStr(url)))
    await migrate(engine)
    await engine.dispose()
    return url


@asynccontextmanager
async def _bare_process(url: str) -> AsyncIterator[str]:
    port = free_port()
    peer = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.bench.bare", url, str(port), cwd=ROOT)
    try:
        await _answers(port)
        yield f"http://127.0.0.1:{port}/webhooks/github"
    finally:
        peer.terminate()
        await peer.wait()


def _deliveries() -> list[Delivery]:
    """Signed deliveries about many pull requests, as many repositories would send them."""
    with Forge(secret=SECRET) as forge:
        repository = forge.create_repository("acme/shop", tiny())
        forge.commit(repository, "feature", {"a": b"b"})
        forge.open_pull(repository, "feature", author="nobody")
        (opened,) = forge.take_deliveries()
    pull = opened.payload["pull_request"]
    numbered = [{**opened.payload, "number": n, "pull_request": {**pull, "number": n}} for n in range(1, PULLS + 1)]
    return [replace(opened, payload=payload) for payload in numbered]


async def _rate(url: str, deliveries: Sequence[Delivery]) -> float:
    """Deliveries a second, by several clients that each wait for an answer before the next."""
    # Signed beforehand: the machine's two cores are for the receivers.
    ready = iter([_fresh(deliveries[number % PULLS]) for number in range(DELIVERIES)])
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:

        async def send() -> None:
            for body, headers in ready:
                (await client.post(url, content=body, headers=headers)).raise_for_status()

        began = time.monotonic()
        await asyncio.gather(*(send() for _ in range(CLIENTS)))
        return DELIVERIES / (time.monotonic() - began)


async def _paced(url: str, deliveries: Sequence[Delivery]) -> float:
    """The 99th percentile in milliseconds, at an even pace."""
    taken: list[float] = []
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        begin = time.monotonic()
        for number in range(PACED):
            await asyncio.sleep(max(0.0, begin + number * 60 / RATE_PER_MINUTE - time.monotonic()))
            body, headers = _fresh(deliveries[number])
            began = time.monotonic()
            (await client.post(url, content=body, headers=headers)).raise_for_status()
            taken.append((time.monotonic() - began) * 1000)
    return sorted(taken)[int(len(taken) * 0.99) - 1]


def _fresh(delivery: Delivery) -> tuple[bytes, dict[str, str]]:
    fresh = replace(delivery, guid=str(uuid4()))
    return fresh.body, fresh.headers


async def _answers(port: int) -> None:
    async def listens() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    await eventually(listens, "the peer answers")
