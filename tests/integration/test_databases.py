"""Databases of previews on real servers: made, copied, limited, watched, and gone whatever hangs on to them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import quote

import asyncpg
import pytest

from orchestrator.adapters.postgres import PostgresDatabases
from orchestrator.databases.limits import DatabaseLimits, Fill
from orchestrator.ports.databases import DatabaseAccess
from orchestrator.preview import names
from orchestrator.preview.errors import (
    ConfigurationError,
    DatabaseFull,
    NoConnectionsLeft,
    OperatorError,
    TemporaryError,
)
from tests.support.tenants import ENDED, ask, connected, run
from tests.support.wait import eventually

ONE, TWO = "t_1_1", "t_1_2"
SNAPSHOT = f"{ONE}_s1"
TEMPLATE = names.template("t", 1, "base")
PASSWORD = "a-password"
LIMITS = DatabaseLimits(connections=3)
FILLED = (
    "CREATE EXTENSION citext",
    "CREATE SCHEMA shop",
    "CREATE TYPE shop.mood AS ENUM ('glad')",
    "CREATE DOMAIN positive AS int CHECK (value > 0)",
    "CREATE TABLE items (id serial PRIMARY KEY, name citext UNIQUE, mood shop.mood)",
    "INSERT INTO items (name) VALUES ('one'), ('two')",
    "CREATE VIEW named AS SELECT name FROM items",
    "CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM items",
    "CREATE FUNCTION double(int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 2'",
    "CREATE PUBLICATION changes FOR TABLE items",
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
    "GRANT SELECT ON items TO PUBLIC",
    "SELECT lo_from_bytea(0, 'large')",
)
"""One of each kind of thing that an application's migrations make."""

CHANGED = (
    "INSERT INTO items (name) VALUES ('three')",
    "ALTER TABLE items ADD COLUMN more text",
    "DROP VIEW named",
    "ALTER TYPE shop.mood ADD VALUE 'sad'",
    "REFRESH MATERIALIZED VIEW counted",
    "DROP PUBLICATION changes",
    "CREATE OR REPLACE FUNCTION double(int) RETURNS int LANGUAGE sql AS 'SELECT $1 + $1'",
    "SELECT lo_unlink(oid) FROM pg_largeobject_metadata",
    "DROP EXTENSION citext CASCADE",
    "DROP SCHEMA shop CASCADE",
    "DROP SCHEMA public CASCADE",
    "CREATE SCHEMA public",
)
"""What only the owner of each of them may do."""


def on(url: str, limits: DatabaseLimits = LIMITS) -> PostgresDatabases:
    return PostgresDatabases(url, "127.0.0.1", "t", limits)


@pytest.fixture
async def databases(previews_server_url: str) -> AsyncIterator[PostgresDatabases]:
    databases = on(previews_server_url)
    yield databases
    for name in [*await databases.names(), *(template.name for template in await databases.templates())]:
        await databases.remove(name)
    await execute(previews_server_url, "DROP ROLE IF EXISTS t_owner")


@asynccontextmanager
async def administrator(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def execute(url: str, *statements: str) -> None:
    async with administrator(url) as connection:
        for statement in statements:
            await connection.execute(statement)


async def exists(url: str, name: str) -> bool:
    async with administrator(url) as connection:
        found = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)"
        return bool(await connection.fetchval(found, name))


async def test_a_role_may_do_what_migrations_do(databases: PostgresDatabases) -> None:
    access = await databases.ensure(ONE, PASSWORD)
    await run(access, *FILLED, *CHANGED)
    await databases.ensure(ONE, PASSWORD)


async def test_the_limit_stands_on_the_role(databases: PostgresDatabases) -> None:
    access = await databases.ensure(ONE, PASSWORD)
    async with connected(access), connected(access), connected(access):
        assert (await databases.budget()).in_use[ONE] == 3
        with pytest.raises(asyncpg.TooManyConnectionsError):
            await run(access, "SELECT 1")


async def test_the_password_is_kept_as_scram_and_may_change(
    databases: PostgresDatabases, previews_server_url: str
) -> None:
    await databases.ensure(ONE, PASSWORD)
    access = await databases.ensure(ONE, "another-password")
    await run(access, "SELECT 1")
    async with administrator(previews_server_url) as connection:
        kept = await connection.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = $1", ONE)
    assert kept.startswith("SCRAM-SHA-256$4096:")


async def test_rights_that_a_role_got_meanwhile_are_taken_or_told(
    databases: PostgresDatabases, previews_server_url: str
) -> None:
    await databases.ensure(ONE, PASSWORD)
    await execute(
        previews_server_url, f"ALTER ROLE {ONE} CREATEDB CREATEROLE REPLICATION BYPASSRLS CONNECTION LIMIT -1"
    )
    await databases.ensure(ONE, PASSWORD)
    async with administrator(previews_server_url) as connection:
        (row,) = await connection.fetch("SELECT * FROM pg_roles WHERE rolname = $1", ONE)
    assert not any(row[right] for right in ("rolcreatedb", "rolcreaterole", "rolreplication", "rolbypassrls"))
    assert row["rolconnlimit"] == 3
    await execute(previews_server_url, f"GRANT pg_read_all_data TO {ONE}")
    with pytest.raises(OperatorError, match="pg_read_all_data"):
        await databases.ensure(ONE, PASSWORD)


async def test_a_copy_of_a_template_belongs_to_its_preview(
    databases: PostgresDatabases, previews_server_url: str
) -> None:
    await run(await databases.ensure(TEMPLATE, PASSWORD), *FILLED)
    await databases.finish_template(TEMPLATE, {"commit": "it's"})
    for name in (ONE, TWO):
        access = await databases.ensure(name, PASSWORD, source=TEMPLATE)
        assert await ask(access, "SELECT count(*) FROM items") == 2
        await run(access, *CHANGED)
    await databases.remove(TEMPLATE)
    assert await databases.templates() == []
    async with administrator(previews_server_url) as connection:
        assert not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", TEMPLATE)


async def test_a_spare_copy_whose_template_is_gone_is_seen_and_removed(
    databases: PostgresDatabases, previews_server_url: str
) -> None:
    """As a removal that was killed leaves it."""
    async with administrator(previews_server_url) as connection:
        await connection.execute(f'CREATE DATABASE "{TEMPLATE}_c"')
    (left,) = await databases.templates()
    assert (left.name, left.made_of, left.spare) == (TEMPLATE, None, True)
    await databases.remove(TEMPLATE)
    assert await databases.templates() == []


async def test_a_finished_template_is_closed_even_to_its_own_role(databases: PostgresDatabases) -> None:
    access = await databases.ensure(TEMPLATE, PASSWORD)
    assert [template.made_of for template in await databases.templates()] == [None]
    async with connected(access) as connection:
        await databases.finish_template(TEMPLATE, {"commit": "a" * 40})
        with pytest.raises(ENDED):
            await connection.execute("SELECT 1")
    with pytest.raises(asyncpg.PostgresError):
        await run(access, "SELECT 1")
    (template,) = await databases.templates()
    assert (template.name, template.repository, template.made_of) == (TEMPLATE, 1, {"commit": "a" * 40})


@pytest.mark.parametrize("bytes_", [1, 1 << 40])
async def test_large_and_small_are_copied(
    databases: PostgresDatabases, monkeypatch: pytest.MonkeyPatch, bytes_: int
) -> None:
    monkeypatch.setattr("orchestrator.databases.templates.SMALL_BYTES", bytes_)
    await run(await databases.ensure(TEMPLATE, PASSWORD), *FILLED)
    await databases.finish_template(TEMPLATE, {})
    assert await ask(await databases.ensure(ONE, PASSWORD, source=TEMPLATE), "SELECT count(*) FROM items") == 2


async def test_many_want_the_one_spare_copy(databases: PostgresDatabases) -> None:
    await run(await databases.ensure(TEMPLATE, PASSWORD), *FILLED)
    await databases.finish_template(TEMPLATE, {})
    await databases.stock(TEMPLATE)
    previews = [f"t_1_{number}" for number in range(1, 5)]
    for access in await asyncio.gather(*(databases.ensure(name, PASSWORD, source=TEMPLATE) for name in previews)):
        await run(access, *CHANGED)


async def test_a_snapshot_is_taken_and_restored_under_clients_that_come_again(databases: PostgresDatabases) -> None:
    access = await databases.ensure(ONE, PASSWORD)
    await run(access, "CREATE TABLE note (text text)", "INSERT INTO note VALUES ('before')")
    async with hammering(databases, ONE):
        await databases.snapshot(ONE, SNAPSHOT)
        await databases.snapshot(ONE, SNAPSHOT)
        await eventually(lambda: answers(databases), "clients come back")
    await run(access, "INSERT INTO note VALUES ('after')", "CREATE TABLE half_migrated ()")
    async with hammering(databases, ONE):
        await databases.restore(ONE, SNAPSHOT)
        await databases.restore(ONE, SNAPSHOT)
    assert await ask(access, "SELECT string_agg(text, ',') FROM note") == "before"
    assert await databases.names() == [ONE]
    await run(access, "DROP TABLE note")


async def test_nobody_is_refused_while_a_snapshot_is_taken(databases: PostgresDatabases) -> None:
    """A page that connects for each request is late, and does not fail."""
    access = await databases.ensure(ONE, PASSWORD)
    await run(access, "CREATE TABLE note (text text)")
    refused: list[BaseException] = []
    async with hammering(databases, ONE, refused):
        await eventually(lambda: answers(databases), "clients are there")
        await databases.snapshot(ONE, SNAPSHOT)
        await eventually(lambda: answers(databases), "clients come back")
    assert not [error for error in refused if isinstance(error, asyncpg.ObjectNotInPrerequisiteStateError)]


async def test_a_snapshot_goes_to_another_preview_and_its_own_keeps_working(databases: PostgresDatabases) -> None:
    one = await databases.ensure(ONE, PASSWORD)
    await run(one, *FILLED)
    await databases.snapshot(ONE, SNAPSHOT)
    two = await databases.ensure(TWO, PASSWORD)
    await run(two, "CREATE TABLE own ()")
    await databases.reset(TWO, source=SNAPSHOT)
    await run(two, *CHANGED)
    await run(one, *CHANGED)
    assert await databases.names() == [ONE, SNAPSHOT, TWO]


async def test_a_reset_database_is_as_new(databases: PostgresDatabases) -> None:
    access = await databases.ensure(ONE, PASSWORD)
    await run(access, "CREATE TABLE note ()")
    await databases.reset(ONE)
    assert not await ask(access, "SELECT to_regclass('note')")
    await run(access, "CREATE TABLE note ()")


async def test_killed_in_the_middle_of_a_snapshot(databases: PostgresDatabases, previews_server_url: str) -> None:
    access = await databases.ensure(ONE, PASSWORD)
    await run(access, "CREATE TABLE note ()")
    await execute(previews_server_url, f"ALTER DATABASE {ONE} ALLOW_CONNECTIONS false")
    await execute(previews_server_url, f"CREATE DATABASE {SNAPSHOT} ALLOW_CONNECTIONS false")
    await databases.ensure(ONE, PASSWORD)
    await run(access, "SELECT 1")
    await databases.snapshot(ONE, SNAPSHOT)
    await databases.restore(ONE, SNAPSHOT)
    assert await ask(access, "SELECT to_regclass('note')")


async def test_cancelled_in_the_middle_of_a_snapshot(databases: PostgresDatabases) -> None:
    access = await databases.ensure(ONE, PASSWORD)
    for milliseconds in (5, 15, 30, 60):
        snapshot = asyncio.create_task(databases.snapshot(ONE, SNAPSHOT))
        await asyncio.wait((snapshot,), timeout=milliseconds / 1000)
        snapshot.cancel()
        await asyncio.gather(snapshot, return_exceptions=True)
        await databases.ensure(ONE, PASSWORD)
        await run(access, "SELECT 1")
    await databases.snapshot(ONE, SNAPSHOT)


async def test_killed_before_a_restored_databases_predecessor_was_dropped(
    databases: PostgresDatabases, previews_server_url: str
) -> None:
    access = await databases.ensure(ONE, PASSWORD)
    await execute(previews_server_url, f"CREATE DATABASE {ONE}_d", f"ALTER DATABASE {ONE} ALLOW_CONNECTIONS false")
    await databases.restore(ONE, SNAPSHOT)
    await run(access, "SELECT 1")
    assert await databases.names() == [ONE]


async def test_a_half_made_copy_is_made_again(databases: PostgresDatabases, previews_server_url: str) -> None:
    """The server finishes a CREATE DATABASE whose client was killed: the copy's things belong to nobody there."""
    await run(await databases.ensure(TEMPLATE, PASSWORD), *FILLED)
    await databases.finish_template(TEMPLATE, {})
    await execute(previews_server_url, f"CREATE DATABASE {ONE} TEMPLATE {TEMPLATE}")
    with pytest.raises(TemporaryError, match="still owns"):
        await databases.remove(TEMPLATE)
    await execute(previews_server_url, f"CREATE DATABASE {TEMPLATE} TEMPLATE {ONE}")
    await databases.finish_template(TEMPLATE, {})
    await run(await databases.ensure(ONE, PASSWORD, source=TEMPLATE), *CHANGED)


async def test_removal_ends_clients_that_hang_on_and_takes_everything(databases: PostgresDatabases) -> None:
    await databases.ensure(ONE, PASSWORD)
    await databases.ensure(TWO, PASSWORD)
    await databases.snapshot(ONE, SNAPSHOT)
    async with hammering(databases, ONE):
        await asyncio.wait_for(databases.remove(ONE), 20)
        assert await databases.names() == [TWO]
    await databases.remove(ONE)


async def test_a_drop_that_was_cut_short_is_finished(databases: PostgresDatabases, previews_server_url: str) -> None:
    await run(await databases.ensure(TEMPLATE, PASSWORD), "CREATE TABLE note ()")
    await databases.finish_template(TEMPLATE, {})
    await databases.ensure(ONE, PASSWORD, source=TEMPLATE)
    await databases.snapshot(ONE, SNAPSHOT)
    await execute(previews_server_url, "UPDATE pg_database SET datconnlimit = -2 WHERE datname ~ '^t_1_'")
    assert await databases.names() == [ONE, SNAPSHOT]
    assert [template.made_of for template in await databases.templates()] == [None]
    await run(await databases.ensure(ONE, PASSWORD), "SELECT 1")
    await databases.snapshot(ONE, SNAPSHOT)
    await databases.remove(TEMPLATE)
    await databases.remove(ONE)
    assert await databases.names() == []


async def test_many_at_once(previews_server_url: str) -> None:
    databases = on(previews_server_url, replace(LIMITS, connections=1))
    await run(await databases.ensure(TEMPLATE, PASSWORD), "CREATE TABLE note ()")
    await databases.finish_template(TEMPLATE, {})
    previews = [f"t_1_{number}" for number in range(100, 120)]
    try:
        async with asyncio.TaskGroup() as group:
            for name in previews:
                group.create_task(databases.ensure(name, PASSWORD, source=TEMPLATE))
        assert await databases.names() == previews
    finally:
        async with asyncio.TaskGroup() as group:
            for name in previews:
                group.create_task(databases.remove(name))
        await databases.remove(TEMPLATE)


async def test_connections_are_promised_once(databases: PostgresDatabases, previews_server_url: str) -> None:
    budget = await databases.budget()
    greedy = on(previews_server_url, replace(LIMITS, connections=budget.free // 2))
    made = await asyncio.gather(
        *(greedy.ensure(f"t_1_{number}", PASSWORD) for number in range(1, 5)), return_exceptions=True
    )
    refused = [one for one in made if isinstance(one, NoConnectionsLeft)]
    assert len(refused) == 2, made
    assert f"this one needs {budget.free // 2}" in refused[0].message
    left = await databases.budget()
    assert 0 <= left.free < budget.free // 2
    for name in await databases.names():
        await greedy.ensure(name, PASSWORD)
        await databases.remove(name)
    assert (await databases.budget()).free == budget.free


async def test_the_watchdog_ends_what_lasts_too_long(databases: PostgresDatabases, previews_server_url: str) -> None:
    watchdog = on(previews_server_url, replace(LIMITS, idle_in_transaction_seconds=0.1, transaction_seconds=0.3))
    access = await databases.ensure(ONE, PASSWORD)
    async with connected(access) as idle, connected(access) as open_:
        await open_.execute("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0")
        await open_.execute("BEGIN")
        sleeping = asyncio.create_task(busy(access, "DO $$ BEGIN PERFORM pg_sleep(60); END $$"))
        reasons: list[str] = []

        async def both_ended() -> bool:
            reasons.extend(one.reason for one in (await watchdog.police()).ended)
            return len(reasons) >= 2

        await eventually(both_ended, "both sessions are ended")
        await sleeping
        assert sorted(reason.partition(" for ")[0] for reason in reasons) == [
            "idle in transaction",
            "one transaction or statement",
        ]
        await idle.execute("SELECT 1")


async def test_a_database_that_grows_is_told_then_read_only_then_shut(
    databases: PostgresDatabases, previews_server_url: str
) -> None:
    access = await databases.ensure(ONE, PASSWORD)
    await run(access, "CREATE TABLE note (text text)")
    (found,) = (await databases.police()).sizes
    assert (found.name, found.fill, found.limit) == (ONE, Fill.FINE, LIMITS.bytes)

    async def with_share(share: float) -> Fill:
        limited = on(previews_server_url, replace(LIMITS, bytes=round(found.bytes / share)))
        (now,) = (await limited.police()).sizes
        return now.fill

    assert await with_share(0.9) is Fill.NEAR
    await run(access, "INSERT INTO note VALUES ('fits')")
    assert await with_share(1.1) is Fill.READ_ONLY
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await run(access, "INSERT INTO note VALUES ('too much')")
    await run(access, "SET default_transaction_read_only = off", "SELECT 1")
    await run(access, "BEGIN READ WRITE; DELETE FROM note; COMMIT")
    async with connected(access) as connection:
        assert await with_share(1.3) is Fill.SHUT
        with pytest.raises(ENDED):
            await connection.execute("SELECT 1")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await run(access, "SELECT 1")
    with pytest.raises(DatabaseFull, match="the limit is"):
        await on(previews_server_url, replace(LIMITS, bytes=round(found.bytes / 1.3))).ensure(ONE, PASSWORD)
    assert await with_share(0.5) is Fill.FINE
    await run(access, "INSERT INTO note VALUES ('again')")


async def test_what_the_server_has(databases: PostgresDatabases) -> None:
    facts = await databases.facts()
    assert facts.major >= 15
    assert "citext" in facts.extensions
    assert not facts.extensions & {"dblink", "postgres_fdw", "file_fdw", "adminpack"}
    access = await databases.ensure(ONE, PASSWORD, extensions=("citext", "vector", "dblink"))
    if "vector" in facts.extensions:
        await run(access, "CREATE EXTENSION IF NOT EXISTS vector", "CREATE TABLE point (at vector(3))")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await run(access, "CREATE EXTENSION dblink")


async def test_others_of_the_server_are_not_looked_at(databases: PostgresDatabases, previews_server_url: str) -> None:
    await execute(previews_server_url, "CREATE ROLE somebody; CREATE ROLE other_1_1; CREATE ROLE other_1_t0123456789ab")
    try:
        assert await databases.names() == []
        assert await databases.templates() == []
    finally:
        await execute(previews_server_url, "DROP ROLE somebody, other_1_1, other_1_t0123456789ab")


async def test_a_server_that_is_away_is_tried_again_and_a_wrong_password_is_not(previews_server_url: str) -> None:
    with pytest.raises(TemporaryError):
        await on("postgresql://a:b@127.0.0.1:1/postgres").names()
    password = previews_server_url.split(":")[2].split("@", maxsplit=1)[0]
    with pytest.raises(ConfigurationError, match="refuses us") as caught:
        await on(previews_server_url.replace(quote(password), "wrong")).names()
    assert "PREVIEWD_PREVIEWS_DATABASE_URL" in caught.value.remedy


async def answers(databases: PostgresDatabases) -> bool:
    try:
        await run(databases.access(ONE, PASSWORD), "SELECT 1")
    except (asyncpg.PostgresError, OSError):
        return False
    return True


async def busy(access: object, statement: str) -> None:
    """Run a statement that is expected to be ended."""
    with pytest.raises(ENDED):
        await run(access, statement)  # type: ignore[arg-type]


@asynccontextmanager
async def hammering(
    databases: PostgresDatabases, name: str, errors: list[BaseException] | None = None
) -> AsyncIterator[None]:
    """Clients that hold a session, and that connect again as soon as it ends, as pools do."""
    stop = asyncio.Event()

    async def hammer() -> None:
        while not stop.is_set():
            try:
                async with connected(databases.access(name, PASSWORD)) as connection:
                    while not stop.is_set():
                        await connection.execute("SELECT pg_sleep(0.05)")
            except ENDED as error:
                if errors is not None:
                    errors.append(error)
                await asyncio.sleep(0)

    clients = [asyncio.create_task(hammer()) for _ in range(2)]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*clients)


@asynccontextmanager
async def changing_itself(access: DatabaseAccess) -> AsyncIterator[None]:
    """A session that has changed its own password and settings, and does not commit."""
    async with connected(access) as hostile:
        await hostile.execute(f"BEGIN; ALTER ROLE {access.role} PASSWORD 'x'; ALTER ROLE {access.role} SET jit = off")
        record = asyncio.create_task(hostile.execute("SELECT pg_sleep(600)"))
        yield
        await asyncio.gather(record, return_exceptions=True)


async def test_a_role_that_is_changing_itself_holds_up_nobody(databases: PostgresDatabases) -> None:
    access = await databases.ensure(ONE, PASSWORD)
    async with changing_itself(access):
        with pytest.raises(TemporaryError, match="a session of its own"):
            await databases.ensure(ONE, PASSWORD)
    await databases.ensure(ONE, PASSWORD)
    async with changing_itself(access):
        await databases.remove(ONE)


async def test_a_role_that_is_changing_itself_is_held_to_its_size(
    databases: PostgresDatabases, previews_server_url: str
) -> None:
    access = await databases.ensure(ONE, PASSWORD)
    full = on(previews_server_url, replace(LIMITS, bytes=4 << 20))
    async with changing_itself(access):
        assert [size.fill for size in (await full.police()).sizes] == [Fill.SHUT]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await run(access, "SELECT 1")
