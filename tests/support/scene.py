"""Wake-ups in memory, and workers that act on them: how a world comes to rest without Redis, arq or a clock."""

import asyncio
import itertools
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.ports.engine import Image
from orchestrator.preview.state import PreviewId
from orchestrator.runtime.queue import Queue
from orchestrator.store.tables import metadata, previews
from tests.support.fake_engine import Recipe
from tests.support.world import COMPOSE, World
from worker.context.context import WorkerContext
from worker.context.tasks import Tasks
from worker.jobs import kinds
from worker.jobs.sweep import sweep
from worker.upkeep.rounds import make_round

MOST_ROUNDS = 40

CONFIGURED = (
    COMPOSE.replace('expose: ["8000"]', 'expose: ["8000"]\n    configs: [motd]') + "configs: {motd: {content: hello}}\n"
)
"""A stack with a file on the host."""

_repositories = itertools.count(9001)


@dataclass(slots=True)
class Redis:
    """What a Redis would hold."""

    woken: set[PreviewId] = field(default_factory=set)
    is_down: bool = False


class Wakeups(Queue):
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def wake(self, preview: PreviewId, generation: int) -> bool:  # noqa: ARG002
        if not self._redis.is_down:
            self._redis.woken.add(preview)
        return not self._redis.is_down


class Crew(Tasks):
    """The jobs of one worker, for whose end one can wait."""

    async def rest(self) -> bool:
        """Wait until none runs; whether any did. After one that failed no pause is made."""
        busy = bool(self._tasks)
        while self._tasks:
            done, _ = await asyncio.wait(self._tasks.values())
            await asyncio.gather(*done, return_exceptions=True)
        self._failed.clear()
        return busy


async def work(context: WorkerContext, redis: Redis) -> bool:
    """What a worker does in one round: what it is woken for, and what a sweep finds. False when that was nothing."""
    assert isinstance(context.tasks, Crew)
    woken, redis.woken = redis.woken, set()
    for preview in woken:
        kinds.converge(context, preview)
    await sweep(context)
    return await context.tasks.rest()


@dataclass(frozen=True, slots=True)
class Scene:
    """A world with what wakes its workers, on a database that it has to itself until it is cleared."""

    world: World
    redis: Redis
    database: AsyncEngine

    @classmethod
    def set(cls, database: AsyncEngine, data_dir: Path) -> "Scene":
        number = next(_repositories)
        world = World(database, data_dir / str(number), number, f"acme/shop-{number}")
        world.installed = [number]
        world.files["compose.yaml"] = CONFIGURED.encode()
        world.engine.recipes["Dockerfile"] = Recipe(lines=("COPY . .", "exporting"))
        world.engine.registry["redis:7"] = Image(id="sha256:redis", exposed_ports=(6379,), volumes=("/spare",))
        redis = Redis()
        running = Crew(kinds.most(world.context.settings))
        world.context = replace(world.context, queue=Wakeups(redis), tasks=running)
        return cls(world, redis, database)

    async def clear(self) -> None:
        """Leave the database to another world."""
        statements = [delete(table).cte(table.name) for table in metadata.sorted_tables if table is not previews]
        async with self.database.begin() as connection:
            await connection.execute(delete(previews).add_cte(*statements))

    async def settle(self) -> None:
        """Let a healthy worker act until nothing is left to do, and its reconciler finds nothing either.

        No pause is waited for: a second is as good as an hour.
        """
        for _ in range(MOST_ROUNDS):
            await self._change(retry_at=None, report_after=None)
            if await work(self.world.context, self.redis):
                continue
            await make_round(self.world.context, ask_forge=True)
            if not (await work(self.world.context, self.redis) or await self.world.store.leaks.all()):
                return  # what a round finds and removes is told as leaked until the next
        states = [f"{each.id} is {each.state}: {each.reason}" for each in await self.world.queries.all()]
        raise AssertionError(f"it does not come to rest: {states}, {await self.world.store.leaks.all()}")

    async def expire_leases(self) -> None:
        """So much time has passed that nobody holds what he did not renew: a lease, or a claim to tell."""
        await self._change(lease_expires_at=previews.c.created_at, reporting_until=previews.c.created_at)

    async def _change(self, **values: Any) -> None:
        async with self.database.begin() as connection:
            await connection.execute(update(previews).values(**values))
