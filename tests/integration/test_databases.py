"""Databases of previews on a real server: made, closed to neighbours, limited, and gone whatever hangs on to them."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import quote

import asyncpg
import pytest

from orchestrator.adapters.postgres import PostgresDatabases
from orchestrator.errors import ConfigurationError, TemporaryError
from orchestrator.ports import DatabaseAccess
from tests.support.servers import Servers

ONE, TWO = "t_1_1", "t_1_2"
PASSWORDS = {ONE: "password-one", TWO: "password-two"}


@pytest.fixture
def server_url(real_servers: Servers) -> str:
    return real_servers.postgres_url


@pytest.fixture
async def databases(server_url: str) -> AsyncIterator[PostgresDatabases]:
    databases = PostgresDatabases(server_url, "127.0.0.1", "t", connection_limit=3)
    yield databases
    for name in await databases.names():
        await databases.remove(name)


async def connect(
    access: DatabaseAccess, *, database: str = "", password: str = ""
) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(
        host=access.host,
        port=access.port,
        user=access.role,
        password=password or access.password,
        database=database or access.database,
    )


async def test_a_role_owns_its_schema_and_may_do_what_migrations_do(databases: PostgresDatabases) -> None:
    access = await databases.ensure(ONE, PASSWORDS[ONE])
    connection = await connect(access)
    await connection.execute("CREATE TABLE items (id serial PRIMARY KEY); CREATE SCHEMA extra; CREATE EXTENSION citext")
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.close()
    await databases.ensure(ONE, PASSWORDS[ONE])


async def test_no_neighbour_gets_in(databases: PostgresDatabases, server_url: str) -> None:
    one, _ = await databases.ensure(ONE, PASSWORDS[ONE]), await databases.ensure(TWO, PASSWORDS[TWO])
    for database in (TWO, "postgres", "template1"):
        with pytest.raises(asyncpg.PostgresError):
            await connect(one, database=database)
    with pytest.raises(asyncpg.PostgresError):
        await connect(one, password=PASSWORDS[TWO])


@pytest.mark.parametrize(
    "statement",
    [
        f"ALTER DATABASE {ONE} CONNECTION LIMIT -1",
        f"ALTER ROLE {ONE} CONNECTION LIMIT -1",
        f"ALTER ROLE {ONE} SUPERUSER",
        f"DROP DATABASE {TWO}",
        f"ALTER ROLE {TWO} PASSWORD 'mine'",
        f"SET ROLE {TWO}",
        "CREATE DATABASE t_9_9",
        "CREATE ROLE t_9_9",
        "SET temp_file_limit = -1",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "COPY (SELECT 1) TO '/tmp/previewd-was-here'",
        "SELECT pg_read_file('/etc/passwd')",
        "ALTER SYSTEM SET max_connections = 1",
        "CREATE EXTENSION dblink",
    ],
)
async def test_a_tenant_cannot_reach_beyond_its_database(databases: PostgresDatabases, statement: str) -> None:
    access = await databases.ensure(ONE, PASSWORDS[ONE])
    await databases.ensure(TWO, PASSWORDS[TWO])
    connection = await connect(access)
    with pytest.raises(asyncpg.PostgresError):
        await connection.execute(statement)
    await connection.close()


async def test_the_limit_stands_on_the_role(databases: PostgresDatabases) -> None:
    access = await databases.ensure(ONE, PASSWORDS[ONE])
    connections = [await connect(access) for _ in range(3)]
    with pytest.raises(asyncpg.TooManyConnectionsError):
        await connect(access)
    for connection in connections:
        await connection.close()


async def test_removal_ends_clients_that_hang_on(databases: PostgresDatabases) -> None:
    access = await databases.ensure(ONE, PASSWORDS[ONE])
    stop = asyncio.Event()

    async def hammer() -> None:
        while not stop.is_set():
            try:
                connection = await connect(access)
                await connection.execute("SELECT pg_sleep(60)")
            except (asyncpg.PostgresError, OSError):
                await asyncio.sleep(0)

    clients = [asyncio.create_task(hammer()) for _ in range(3)]
    try:
        await asyncio.wait_for(databases.remove(ONE), 20)
        assert await databases.names() == []
    finally:
        stop.set()
        await asyncio.gather(*clients)


async def test_making_and_removing_may_be_repeated(databases: PostgresDatabases) -> None:
    await databases.ensure(ONE, PASSWORDS[ONE])
    access = await databases.ensure(ONE, "another-password")
    await (await connect(access)).close()
    await databases.remove(ONE)
    await databases.remove(ONE)
    assert await databases.names() == []


async def test_a_drop_that_was_cut_short_is_finished(databases: PostgresDatabases, server_url: str) -> None:
    await databases.ensure(ONE, PASSWORDS[ONE])
    admin = await asyncpg.connect(server_url)
    await admin.execute("UPDATE pg_database SET datconnlimit = -2 WHERE datname = $1", ONE)
    await admin.close()
    assert await databases.names() == [ONE]
    access = await databases.ensure(ONE, PASSWORDS[ONE])
    await (await connect(access)).close()


async def test_others_of_the_server_are_not_looked_at(databases: PostgresDatabases, server_url: str) -> None:
    admin = await asyncpg.connect(server_url)
    await admin.execute("CREATE ROLE somebody; CREATE ROLE other_1_1")
    assert await databases.names() == []
    await admin.execute("DROP ROLE somebody; DROP ROLE other_1_1")
    await admin.close()


async def test_a_server_that_is_away_is_tried_again_and_a_wrong_password_is_not(server_url: str) -> None:
    away = PostgresDatabases("postgresql://a:b@127.0.0.1:1/postgres", "127.0.0.1", "t", 3)
    with pytest.raises(TemporaryError):
        await away.names()
    wrong = server_url.replace(quote(server_url.split(":")[2].split("@", maxsplit=1)[0]), "wrong")
    with pytest.raises(ConfigurationError, match="refuses us") as caught:
        await PostgresDatabases(wrong, "127.0.0.1", "t", 3).names()
    assert "PREVIEWD_PREVIEWS_DATABASE_URL" in caught.value.remedy
