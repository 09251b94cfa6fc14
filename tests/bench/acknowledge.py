"""How fast webhooks are acknowledged: our receiver and a bare route, under the same load on the same Postgres."""

import asyncio
import sys
import time
from dataclasses import replace
from uuid import uuid4

import httpx

from tests.bench.figures import Figure
from tests.forge import Delivery, Forge
from tests.support.apps import tiny
from tests.support.installation import ROOT, Installation, free_port
from tests.support.wait import eventually

DELIVERIES = 1500
CLIENTS = 8
ROUNDS = 3
RATE_PER_MINUTE = 500
PACED = 100


async def acknowledge() -> list[Figure]:
    """The rate against the peer's, and the 99th percentile at 500 a minute."""
    with Forge() as forge:
        repository = forge.create_repository("acme/shop", tiny())
        forge.commit(repository, "feature", {"a": b"b"})
        forge.open_pull(repository, "feature", author="nobody")
        (opened,) = forge.take_deliveries()
        async with Installation(forge) as previewd:
            ours = f"http://127.0.0.1:{previewd.web_port}/webhooks/github"
            port = free_port()
            theirs = f"http://127.0.0.1:{port}/webhooks/github"
            values = dict(line.partition("=")[::2] for line in (previewd.data_dir / "up.env").read_text().splitlines())
            url = values["PREVIEWD_DATABASE_URL"].strip("'\"")
            command = (sys.executable, "-m", "tests.bench.bare", url, str(port))
            peer = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
            try:
                await _answers(port)
                rounds = [(await _rate(ours, opened), await _rate(theirs, opened)) for _ in range(ROUNDS)]
                paced = await _paced(ours, opened)
            finally:
                peer.terminate()
                await peer.wait()
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
        Figure(name=f"acknowledgement, p99 at {RATE_PER_MINUTE} a minute", unit="ms", ours=(paced,), aim="< 50 ms"),
    ]


async def _rate(url: str, delivery: Delivery) -> float:
    """Deliveries a second, by several clients that each wait for an answer before the next."""
    left = iter(range(DELIVERIES))
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:

        async def send() -> None:
            for _ in left:
                await _send(client, url, delivery)

        began = time.monotonic()
        await asyncio.gather(*(send() for _ in range(CLIENTS)))
        return DELIVERIES / (time.monotonic() - began)


async def _paced(url: str, delivery: Delivery) -> float:
    """The 99th percentile in milliseconds, at an even pace."""
    taken: list[float] = []
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        begin = time.monotonic()
        for number in range(PACED):
            await asyncio.sleep(max(0.0, begin + number * 60 / RATE_PER_MINUTE - time.monotonic()))
            began = time.monotonic()
            await _send(client, url, delivery)
            taken.append((time.monotonic() - began) * 1000)
    return sorted(taken)[int(len(taken) * 0.99) - 1]


async def _send(client: httpx.AsyncClient, url: str, delivery: Delivery) -> None:
    fresh = replace(delivery, guid=str(uuid4()))
    answer = await client.post(url, content=fresh.body, headers=fresh.headers)
    answer.raise_for_status()


async def _answers(port: int) -> None:
    async def listens() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    await eventually(listens, "the peer answers")
