"""Tenants of the previews' server: how tests connect as one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from orchestrator.ports.databases import DatabaseAccess

ENDED = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""How a client learns that the server ended its session: it was waiting, idle, or just about to ask."""


@asynccontextmanager
async def connected(
    access: DatabaseAccess, *, database: str = "", password: str = ""
) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(
        host=access.host,
        port=access.port,
        user=access.role,
        password=password or access.password,
        database=database or access.database,
    )
    try:
        yield connection
    finally:
        await connection.close()


async def run(access: DatabaseAccess, *statements: str) -> None:
    """Run these as the tenant."""
    async with connected(access) as connection:
        for statement in statements:
            await connection.execute(statement)


async def ask(access: DatabaseAccess, query: str) -> Any:
    """One value, as the tenant sees it."""
    async with connected(access) as connection:
        return await connection.fetchval(query)
