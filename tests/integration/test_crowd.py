"""More pull requests than a real Postgres has connections for: each is live or waits its turn, and none fails."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.adapters.postgres import PostgresDatabases
from orchestrator.databases.limits import DatabaseLimits
from orchestrator.preview.records import Preview
from orchestrator.preview.state import PreviewId, State
from tests.support.apps import tiny
from tests.support.servers import CARELESS, servers
from tests.support.world import World
from worker.context.tasks import Tasks, Work
from worker.converge import converge
from worker.jobs.sweep import sweep

PULLS = range(1, 31)
COMPOSE = """\
services:
  app:
    build: .
    expose: ["8000"]
    environment: {DATABASE_URL: "postgresql://u:p@db:5432/app"}
  db:
    image: postgres:16
"""


class Asked(Tasks):
    """Which previews the sweep wants to have converged."""

    def __init__(self) -> None:
        super().__init__()
        self.previews: list[PreviewId] = []

    def start(self, kind: str, preview: PreviewId, work: Work, seconds: float) -> None:  # noqa: ARG002
        """Nobody reads the reports."""
        if kind == "converge":
            self.previews.append(preview)


class Crowd(World):
    """Thirty pull requests whose databases are on a real server. Workers act only when the sweep wakes them."""

    def __init__(self, database: AsyncEngine, data_dir: Path, url: str) -> None:
        super().__init__(database, data_dir)
        self.files = tiny(compose=COMPOSE)
        self.asked = Asked()
        limits = DatabaseLimits(connections=self.context.settings.connections_per_preview)
        real = PostgresDatabases(url, "127.0.0.1", self.context.settings.instance, limits)
        self.context = replace(self.context, tasks=self.asked, databases=real)

    async def settle(self) -> dict[int, Preview]:
        """Sweep until there is nothing left to do; the previews by number."""
        while True:
            # The first sweep calls up whoever is next in line, the second one wakes them.
            await sweep(self.context)
            await sweep(self.context)
            due, self.asked.previews = dict.fromkeys(self.asked.previews), []
            if not due:
                return {preview.id.number: preview for preview in await self.queries.all() if preview.id.number}
            for preview in due:
                if preview.number:
                    self.turn_to(preview.number)
                await converge(self.context, preview)

    async def close(self, number: int) -> None:
        self.turn_to(number)
        await self.change(open=False)
        await converge(self.context, self.preview)


@pytest.fixture(scope="module")
def small_server_url() -> Iterator[str]:
    """The administrator of a server with the usual hundred connections."""
    with servers({**CARELESS, "max_connections": "100"}) as started:
        yield started.postgres_url


def in_state(previews: dict[int, Preview], state: State) -> list[int]:
    return sorted(number for number, preview in previews.items() if preview.state is state)


async def test_thirty_pull_requests_on_a_hundred_connections(
    database: AsyncEngine, tmp_path: Path, small_server_url: str
) -> None:
    crowd = Crowd(database, tmp_path, small_server_url)
    for number in PULLS:
        crowd.turn_to(number)
        await crowd.hint()

    previews = await crowd.settle()
    seen = set(in_state(previews, State.READY))
    assert Counter(preview.state for preview in previews.values()) == {State.READY: 4, State.WAITING: 26}
    reasons = [preview.reason for preview in previews.values() if preview.state is State.WAITING]
    assert all("it waits for database connections" in reason and "connections to give" in reason for reason in reasons)
    assert sum("first in line" in reason for reason in reasons) == 1
    assert sum("number 26 in line" in reason for reason in reasons) == 1

    while live := in_state(previews, State.READY):
        for number in live:
            await crowd.close(number)
        previews = await crowd.settle()
        seen |= set(in_state(previews, State.READY))
        assert in_state(previews, State.FAILED) == []
    assert seen == set(PULLS), "each had its turn, though nobody asked for it again"
    assert await crowd.context.databases.names() == []
    connection = await asyncpg.connect(small_server_url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM pg_roles WHERE rolname ~ '_812_[1-9]'") == 0
    finally:
        await connection.close()
