"""An upgrade while previews are live: older processes work on the newer database, and previews are left alone.

The rule that makes it so is held for every migration: it only adds, and what it adds can be left out.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy import Column, Connection, Table, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncEngine

import migrations
from orchestrator.preview.errors import ConfigurationError
from orchestrator.preview.state import State
from orchestrator.store import migrate, revision
from tests.support import dumps
from tests.support.world import FIRST, SECOND, World

REVISIONS = sorted(
    file.name.partition("_")[0] for file in Path(migrations.__file__).parent.joinpath("versions").glob("[0-9]*_*.py")
)
FIRST_WITH_DATABASES = "0004"
"""The revision of the version that people upgrade from."""

VALUES: dict[type[Any], Any] = {
    sa.Boolean: True,
    sa.SmallInteger: 2**15 - 1,
    sa.BigInteger: 2**63 - 1,
    sa.Integer: 2**31 - 1,
    sa.VARCHAR: "queued",
    sa.Text: "x" * 1000,
    sa.DateTime: datetime(2026, 1, 1, tzinfo=UTC),
    sa.Uuid: uuid4(),
    sa.LargeBinary: b"\0" * 1000,
    postgresql.ARRAY: ["x" * 1000],
    postgresql.JSONB: {"a": [1, None]},
    postgresql.CIDR: "10.0.0.0/24",
}
"""As large as each type takes it, so that a narrower one refuses it."""


@pytest.fixture
async def empty(database: AsyncEngine) -> AsyncEngine:
    """A database without tables."""
    async with database.begin() as connection:
        await connection.execute(text("DROP SCHEMA public CASCADE"))
        await connection.execute(text("CREATE SCHEMA public"))
    return database


async def upgrade(database: AsyncEngine, target: str) -> None:
    """What that version's `previewd migrate` does."""
    async with database.begin() as connection:
        await connection.run_sync(lambda held: command.upgrade(migrate._config(held), target))


@pytest.mark.parametrize(("older", "newer"), [*itertools.pairwise(REVISIONS)])
async def test_what_the_older_version_writes_and_reads_the_newer_tables_take(
    empty: AsyncEngine, older: str, newer: str
) -> None:
    await upgrade(empty, older)
    tables = await dumps.tables_of(empty)
    await upgrade(empty, newer)
    for choose in (_is_required, _is_any):
        async with empty.connect() as connection:
            await connection.run_sync(lambda held: _use(held, tables, choose))  # noqa: B023 - it is done before the next
            await connection.rollback()
    columns = {
        (table.name, column.name): _form(column) for table in await dumps.tables_of(empty) for column in table.columns
    }
    for table in tables:
        for column in table.columns:
            assert columns[table.name, column.name] == _form(column), f"{table.name}.{column.name} is what it was"


def _is_required(column: Column[Any]) -> bool:
    return not column.nullable and column.server_default is None and column.identity is None


def _is_any(column: Column[Any]) -> bool:
    return column.identity is None


def _use(connection: Connection, tables: list[Table], choose: Callable[[Column[Any]], bool]) -> None:
    """Insert, change, read and delete in all tables; two rows of each differ in nothing but what had to be unique."""
    inserted: dict[str, Mapping[str, Any]] = {}
    for table in tables:
        for row in _rows(table, choose, inserted):
            made = connection.execute(table.insert().values(row).returning(*table.columns)).one()
            inserted[table.name] = dict(made._mapping)
    for table in reversed(tables):
        keys = {column.name for column in table.primary_key.columns}
        values = {name: value for name, value in inserted[table.name].items() if name not in keys}
        here = sa.and_(*(column == inserted[table.name][column.name] for column in table.primary_key.columns))
        if values:
            assert connection.execute(table.update().where(here).values(values)).rowcount == 1
        assert len(connection.execute(table.select()).all()) == 2
        assert connection.execute(table.delete()).rowcount == 2


def _rows(
    table: Table, choose: Callable[[Column[Any]], bool], inserted: Mapping[str, Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    unique = [constraint for constraint in table.constraints if isinstance(constraint, sa.UniqueConstraint)]
    distinct = {column.name for key in (table.primary_key, *unique) for column in key.columns}
    for number in range(2):
        chosen = filter(choose, table.columns)
        yield {column.name: _value(column, number * (column.name in distinct), inserted) for column in chosen}


def _form(column: Column[Any]) -> tuple[str, bool, str]:
    default = "" if column.server_default is None else str(getattr(column.server_default, "arg", ""))
    return str(column.type), bool(column.nullable), default


def _value(column: Column[Any], number: int, inserted: Mapping[str, Mapping[str, Any]]) -> Any:
    for key in column.foreign_keys:
        return inserted[key.column.table.name][key.column.name]
    value = next(value for kind, value in VALUES.items() if isinstance(column.type, kind))
    match value:
        case bool():
            return value
        case int():
            return value - number
        case str() if isinstance(column.type, postgresql.CIDR):
            return f"10.0.{number}.0/24"
        case str():
            return value + "y" * number
        case _:
            return value


async def test_a_preview_of_the_older_version_stays_as_it_is(database: AsyncEngine, tmp_path: Path) -> None:
    world = World(database, tmp_path)
    await world.hint()
    assert (await world.converge()).state is State.READY
    await _as_if_written_by(database, FIRST_WITH_DATABASES)
    world.effects.clear()
    await world.hint()
    preview = await world.converge()
    assert (preview.state, preview.serving_commit) == (State.READY, FIRST)
    assert world.effects == []
    await world.change(head_commit=SECOND)
    assert (await world.converge()).serving_commit == SECOND
    await world.change(open=False)
    assert (await world.converge()).state is State.REMOVED
    assert await world.leftovers() == []


async def _as_if_written_by(database: AsyncEngine, older: str) -> None:
    """Bring all rows back to what an older version's tables hold, and that database up to date again."""
    rows = await dumps.take(database)
    async with database.begin() as connection:
        await connection.execute(text("DROP SCHEMA public CASCADE"))
        await connection.execute(text("CREATE SCHEMA public"))
    await upgrade(database, older)
    await dumps.put_back(database, rows)
    await migrate.migrate(database)


OLDER_TAKES = text("""
    UPDATE previews SET lease_token = :token, lease_expires_at = now() + interval '10 seconds'
    WHERE settled < generation AND (lease_expires_at IS NULL OR lease_expires_at < now())
      AND (retry_at IS NULL OR retry_at < now())
""")
OLDER_RENEWS = text("""
    UPDATE previews SET lease_expires_at = now() + interval '10 seconds'
    WHERE lease_token = :token AND lease_expires_at > now()
""")
"""What workers of the first versions say to the database. These two must go on to mean the same."""


async def test_the_leases_of_older_and_newer_workers_exclude_each_other(database: AsyncEngine, tmp_path: Path) -> None:
    world = World(database, tmp_path)
    await world.hint()
    older = {"token": uuid4()}
    async with database.begin() as connection:
        assert (await connection.execute(OLDER_TAKES, older)).rowcount == 1
    assert await world.store.claims.acquire(world.preview) is None
    assert await world.store.claims.borrow(world.preview) is None
    await world.converge()
    assert world.effects == []
    async with database.begin() as connection:
        assert (await connection.execute(OLDER_RENEWS, older)).rowcount == 1
        await connection.execute(text("UPDATE previews SET lease_expires_at = now() - interval '1 second'"))
    lease = await world.store.claims.acquire(world.preview)
    assert lease is not None
    async with database.begin() as connection:
        assert (await connection.execute(OLDER_RENEWS, older)).rowcount == 0, "it was too slow, and learns it"
        assert (await connection.execute(OLDER_TAKES, older)).rowcount == 0
    await lease.renew()


async def test_an_older_process_works_on_a_newer_database(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await revision.require_current(database)
    await migrate.migrate(database)
    async with database.connect() as connection:
        assert await connection.scalar(text("SELECT version_num FROM alembic_version")) == "9999"


async def test_a_newer_process_says_what_an_older_database_lacks(empty: AsyncEngine) -> None:
    with pytest.raises(ConfigurationError, match="none of previewd's tables"):
        await revision.require_current(empty)
    await upgrade(empty, REVISIONS[-2])
    with pytest.raises(ConfigurationError, match=f"at revision {REVISIONS[-2]}") as caught:
        await revision.require_current(empty)
    assert "previewd migrate" in caught.value.remedy
