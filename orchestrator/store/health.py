"""What workers found of the things that they need, as rows: `worker.upkeep.health` writes them."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import case, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.runtime.health import Dependency
from orchestrator.store.conditions import notify
from orchestrator.store.tables import dependencies


class DependencyHealth:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def record(self, found: Mapping[str, str]) -> None:
        """Keep what one look found, the fault by its name, empty for what answers. It begins when the fault does."""
        statement = insert(dependencies)
        changed = (dependencies.c.fault == "") != (statement.excluded.fault == "")
        values = {
            "fault": statement.excluded.fault,
            "since": case((changed, func.now()), else_=dependencies.c.since),
            "seen_at": func.now(),
        }
        rows = [{"name": name, "fault": fault} for name, fault in sorted(found.items())]  # two workers, one order
        query = select(dependencies.c.name).where(dependencies.c.fault != "")
        async with self._engine.begin() as connection:
            before = set(await connection.scalars(query))
            await connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values), rows)
            if before != set(await connection.scalars(query)):
                await notify(connection, "all")  # open pages show it at once

    async def all(self) -> tuple[list[Dependency], datetime]:
        """All that was recorded, and what time it is by the same clock."""
        async with self._engine.connect() as connection:
            rows = (await connection.execute(select(dependencies))).all()
            now = (await connection.execute(select(func.now()))).scalar_one()
        return [Dependency(name=row.name, fault=row.fault, since=row.since, seen_at=row.seen_at) for row in rows], now
