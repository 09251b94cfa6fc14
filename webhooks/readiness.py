"""Whether this installation can do all of its work, and what is wrong when it cannot.

It is down when nothing can be recorded or nobody acts on it: then whoever watches it should be woken. Whatever else is
away heals by itself, and pull requests wait for it: it is degraded, and answers 200.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

from orchestrator.preview.errors import ConfigurationError
from orchestrator.runtime.health import POSTGRES, REDIS, Dependency, Health, health
from orchestrator.runtime.queue import Queue
from orchestrator.store.connection import Database
from orchestrator.store.faults import DATABASE_FAULTS
from orchestrator.store.revision import require_current
from orchestrator.store.store import Store

CHECK_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Asks what the web process needs itself, and reads what the workers found of the rest."""

    engine: Database
    store: Store
    queue: Queue

    async def look(self) -> Health:
        own, redis = await asyncio.gather(self._postgres(), self._redis())
        found, now = (None, datetime.now(UTC)) if own else await self._recorded()
        return health(found, now, {POSTGRES: own, REDIS: redis})

    async def _recorded(self) -> tuple[list[Dependency] | None, datetime]:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                return await self.store.health.all()
        except DATABASE_FAULTS:
            return None, datetime.now(UTC)

    async def _postgres(self) -> str:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await require_current(self.engine)
        except ConfigurationError as error:
            return f"{error.message}: {error.remedy}"
        except DATABASE_FAULTS:
            return "does not answer"
        return ""

    async def _redis(self) -> str:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                reachable = await self.queue.reachable()
        except TimeoutError:
            reachable = False
        return "" if reachable else "does not answer"
