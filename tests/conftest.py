"""What tests on real parts share: one Postgres and one Redis for all of them, and a database of its own for each."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import asyncpg
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.runtime.settings import asyncpg_url
from orchestrator.store.connection import connect
from orchestrator.store.migrate import migrate
from tests.support.servers import CARELESS, Servers, older_postgres, servers

TEMPLATE = "previewd_template"

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def real_servers() -> Iterator[Servers]:
    """Postgres and Redis, started when the first test needs one of them."""
    with servers(CARELESS) as started:
        yield started


@pytest.fixture(scope="session")
def older_postgres_url() -> Iterator[str]:
    """The administrator of a Postgres 15, or of what else the distribution has."""
    with older_postgres(CARELESS) as url:
        yield url


@pytest.fixture(params=["18", "15"], scope="module")
def previews_server_url(request: pytest.FixtureRequest) -> str:
    """The administrator of a server for previews: the wheel's Postgres, and the distribution's older one."""
    if request.param == "15":
        return str(request.getfixturevalue("older_postgres_url"))
    servers: Servers = request.getfixturevalue("real_servers")
    return servers.postgres_url


@pytest.fixture(scope="session")
def postgres_url(real_servers: Servers) -> str:
    """The administrator's address of a server that has a migrated database to copy."""
    asyncio.run(_make_template(real_servers.postgres_url))
    return real_servers.postgres_url


@pytest.fixture(scope="module")
def module_database_url(postgres_url: str) -> Iterator[str]:
    """A migrated database that the tests of one module share."""
    with _database(postgres_url) as url:
        yield url


@pytest.fixture(scope="module")
def other_database_url(postgres_url: str) -> Iterator[str]:
    """Another one of these: its sessions may be ended without harm to those of `module_database_url`."""
    with _database(postgres_url) as url:
        yield url


@contextmanager
def _database(postgres_url: str) -> Iterator[str]:
    name = f"previewd_test_{next(_numbers)}"
    asyncio.run(_execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}"))
    try:
        yield _with_database(postgres_url, name)
    finally:
        asyncio.run(_execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
async def database_url(postgres_url: str) -> AsyncIterator[str]:
    """A migrated database that no other test sees, as `postgresql://…`."""
    name = f"previewd_test_{next(_numbers)}"
    await _execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    try:
        yield _with_database(postgres_url, name)
    finally:
        await _execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine on `database_url`."""
    engine = connect(asyncpg_url(SecretStr(database_url)))
    try:
        yield engine
    finally:
        await engine.dispose()


@pytest.fixture
async def redis_url(real_servers: Servers) -> str:
    """A Redis with nothing in it."""
    client: Redis = Redis.from_url(real_servers.redis_url)
    await client.flushdb()
    await client.aclose()
    return real_servers.redis_url


async def _make_template(url: str) -> None:
    await _execute(url, f"CREATE DATABASE {TEMPLATE}")
    engine = connect(asyncpg_url(SecretStr(_with_database(url, TEMPLATE))))
    await migrate(engine)
    await engine.dispose()  # a template is copied only while nobody is connected to it


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _with_database(url: str, name: str) -> str:
    return f"{url.rpartition('/')[0]}/{name}"
