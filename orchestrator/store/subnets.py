"""Subnets of the pool, and whose networks have them. One that something else was found to use is nobody's."""

from collections.abc import Collection, Iterable
from datetime import timedelta
from ipaddress import IPv4Network

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.preview.state import PreviewId
from orchestrator.store.conditions import key, of
from orchestrator.store.connection import autocommit
from orchestrator.store.leases import Lease
from orchestrator.store.tables import subnets


class ClaimedSubnets:
    """Those of a preview's networks, under its lease."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    async def take(self, network: str, subnet: IPv4Network) -> bool:
        """Give `subnet` to `network`. False when another preview was faster."""
        async with self._lease.owned() as (connection, _):
            result = await connection.execute(
                postgresql.insert(subnets)
                .values(subnet=subnet, network=network, **key(self._lease.preview))
                .on_conflict_do_nothing()
            )
            return result.rowcount > 0

    async def give_up(self, subnet: IPv4Network) -> None:
        """Leave `subnet` alone until `Subnets.retry`: something uses it of which we know nothing."""
        nobody = {"network": None, "repository": None, "number": None, "at": func.now()}
        async with self._lease.owned() as (connection, _):
            await connection.execute(update(subnets).where(subnets.c.subnet == subnet).values(nobody))

    async def free(self, kept: Collection[str] = ()) -> None:
        """Those of the preview's networks, except for the networks `kept`, may be taken again."""
        async with self._lease.owned() as (connection, _):
            others = subnets.c.network.not_in(kept)
            await connection.execute(delete(subnets).where(of(subnets, self._lease.preview), others))


class Subnets:
    """All of them: what they say of the machine is guarded by no lease."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine, self._autocommit = engine, autocommit(engine)

    async def of(self, network: str) -> IPv4Network | None:
        async with self._autocommit.connect() as connection:
            subnet = await connection.scalar(select(subnets.c.subnet).where(subnets.c.network == network))
        return None if subnet is None else IPv4Network(subnet)

    async def taken(self) -> list[IPv4Network]:
        async with self._autocommit.connect() as connection:
            return [IPv4Network(subnet) for subnet in await connection.scalars(select(subnets.c.subnet))]

    async def owners(self) -> dict[str, PreviewId]:
        """By network: whose it is."""
        async with self._autocommit.connect() as connection:
            rows = await connection.execute(select(subnets).where(subnets.c.network.is_not(None)))
            return {row.network: PreviewId(row.repository, row.number) for row in rows}

    async def avoid(self, foreign: Iterable[IPv4Network]) -> None:
        """Leave these alone from now on."""
        rows = [{"subnet": subnet} for subnet in foreign]
        if rows:
            async with self._engine.begin() as connection:
                await connection.execute(postgresql.insert(subnets).on_conflict_do_nothing(), rows)

    async def retry(self, seconds: float) -> None:
        """What something else used so long ago may be offered to the Engine again: it may be free by now."""
        async with self._engine.begin() as connection:
            old = subnets.c.at < func.now() - timedelta(seconds=seconds)
            await connection.execute(delete(subnets).where(subnets.c.network.is_(None), old))
