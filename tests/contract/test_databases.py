"""What every server of previews' databases must do: one suite for the real one and for the fake."""

from collections.abc import AsyncIterator

import pytest

from orchestrator.adapters.postgres import PostgresDatabases
from orchestrator.databases.limits import DatabaseLimits, Fill
from orchestrator.ports.databases import Databases
from orchestrator.preview import names
from orchestrator.preview.errors import DatabaseFull, NoConnectionsLeft, OperatorError, ScriptError, TemporaryError
from orchestrator.preview.names import Names
from orchestrator.preview.state import PreviewId
from tests.support.fake_databases import FakeDatabases
from tests.support.servers import Servers
from tests.support.tenants import ask, run

ONE, TWO = (Names(instance="c", preview=PreviewId(1, number)) for number in (1, 2))
TEMPLATE = names.template("c", 1, "base")
PASSWORD = "a-password"


class Rig:
    """A server, and a way to write into its databases and to read them."""

    def __init__(self, real_url: str) -> None:
        self._url = real_url
        self._fake = FakeDatabases("c", max_connections=200)

    def databases(self, limits: DatabaseLimits) -> Databases:
        if self._url:
            return PostgresDatabases(self._url, "127.0.0.1", "c", limits)
        self._fake.limits = limits
        return self._fake

    async def write(self, name: str, word: str) -> None:
        if not self._url:
            self._fake.databases[name].data.add(word)
            return
        access = self.databases(DatabaseLimits()).access(name, PASSWORD)
        await run(access, f'CREATE TABLE "{word}" ()')

    async def migrate(self, name: str, revision: str) -> None:
        if not self._url:
            self._fake.databases[name].revisions = frozenset({revision})
            return
        access = self.databases(DatabaseLimits()).access(name, PASSWORD)
        await run(access, "CREATE TABLE alembic_version (version_num varchar(32))")
        await run(access, f"INSERT INTO alembic_version VALUES ('{revision}')")  # noqa: S608 - the test's own

    async def read(self, name: str) -> set[str]:
        if not self._url:
            return self._fake.databases[name].data
        access = self.databases(DatabaseLimits()).access(name, PASSWORD)
        return set(await ask(access, "SELECT coalesce(array_agg(relname::text), '{}') FROM pg_stat_user_tables"))


@pytest.fixture(params=["fake", "real"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    if request.param == "fake":
        yield Rig("")
        return
    servers: Servers = request.getfixturevalue("real_servers")
    rig = Rig(servers.postgres_url)
    yield rig
    databases = rig.databases(DatabaseLimits())
    for name in [*await databases.names(), *(template.name for template in await databases.templates())]:
        await databases.remove(name)


@pytest.fixture
def databases(rig: Rig) -> Databases:
    return rig.databases(DatabaseLimits(connections=3))


async def test_what_exists_keeps_its_data(rig: Rig, databases: Databases) -> None:
    await databases.ensure(ONE.database, PASSWORD)
    await rig.write(ONE.database, "kept")
    assert (await databases.ensure(ONE.database, PASSWORD)).database == ONE.database
    assert await rig.read(ONE.database) == {"kept"}


async def test_from_template_to_preview(rig: Rig, databases: Databases) -> None:
    await databases.ensure(TEMPLATE, PASSWORD)
    await rig.write(TEMPLATE, "seed")
    assert [(one.name, one.repository, one.made_of) for one in await databases.templates()] == [(TEMPLATE, 1, None)]
    await databases.finish_template(TEMPLATE, {"commit": "abc"})
    assert [one.made_of for one in await databases.templates()] == [{"commit": "abc"}]
    await databases.ensure(ONE.database, PASSWORD, source=TEMPLATE)
    await rig.write(ONE.database, "own")
    await databases.ensure(TWO.database, PASSWORD, source=TEMPLATE)
    assert await rig.read(TWO.database) == {"seed"}
    assert await databases.names() == [ONE.database, TWO.database]
    await databases.remove(TEMPLATE)
    assert await rig.read(ONE.database) == {"seed", "own"}


async def test_a_spare_copy_is_used_once(rig: Rig, databases: Databases) -> None:
    await databases.ensure(TEMPLATE, PASSWORD)
    await databases.stock(TEMPLATE)
    assert [one.spare for one in await databases.templates()] == [False]
    await rig.write(TEMPLATE, "seed")
    await databases.finish_template(TEMPLATE, {})
    for _ in range(2):
        await databases.stock(TEMPLATE)
        assert [one.spare for one in await databases.templates()] == [True]
    for preview in (ONE, TWO):
        await databases.ensure(preview.database, PASSWORD, source=TEMPLATE)
        assert [one.spare for one in await databases.templates()] == [False]
        await rig.write(preview.database, preview.database)
        assert await rig.read(preview.database) == {"seed", preview.database}
    await databases.stock(TEMPLATE)
    await databases.remove(TEMPLATE)
    assert await databases.templates() == []


async def test_a_snapshot_is_gone_back_to_once(rig: Rig, databases: Databases) -> None:
    await databases.ensure(ONE.database, PASSWORD)
    await rig.write(ONE.database, "before")
    await databases.snapshot(ONE.database, ONE.snapshot(1))
    await rig.write(ONE.database, "after")
    await databases.snapshot(ONE.database, ONE.snapshot(1))
    assert await databases.names() == [ONE.database, ONE.snapshot(1)]
    for _ in range(2):
        await databases.restore(ONE.database, ONE.snapshot(1))
        assert await rig.read(ONE.database) == {"before"}
    assert await databases.names() == [ONE.database]
    with pytest.raises(OperatorError, match="neither"):
        await databases.restore(TWO.database, TWO.snapshot(1))
    with pytest.raises(OperatorError, match=TWO.database):
        await databases.snapshot(TWO.database, TWO.snapshot(1))


async def test_a_reset_takes_another_content(rig: Rig, databases: Databases) -> None:
    for name in (ONE, TWO):
        await databases.ensure(name.database, PASSWORD)
        await rig.write(name.database, name.database)
    await databases.snapshot(ONE.database, ONE.snapshot(1))
    await databases.reset(TWO.database, source=ONE.snapshot(1))
    assert await rig.read(TWO.database) == {ONE.database}
    await databases.reset(ONE.database)
    assert await rig.read(ONE.database) == set()


async def test_a_source_that_is_gone_is_told(databases: Databases) -> None:
    with pytest.raises(TemporaryError, match="is gone"):
        await databases.ensure(ONE.database, PASSWORD, source=TEMPLATE)
    await databases.remove(ONE.database)
    assert await databases.names() == []


async def test_a_removed_preview_leaves_nothing(databases: Databases) -> None:
    await databases.ensure(ONE.database, PASSWORD)
    await databases.ensure(TWO.database, PASSWORD)
    await databases.snapshot(ONE.database, ONE.snapshot(1))
    await databases.snapshot(ONE.database, ONE.snapshot(2))
    await databases.remove(ONE.snapshot(1))
    assert await databases.names() == [ONE.database, ONE.snapshot(2), TWO.database]
    for _ in range(2):
        await databases.remove(ONE.database)
        assert await databases.names() == [TWO.database]


async def test_no_more_connections_are_promised_than_there_are(rig: Rig) -> None:
    budget = await rig.databases(DatabaseLimits()).budget()
    databases = rig.databases(DatabaseLimits(connections=budget.free - 1))
    await databases.ensure(ONE.database, PASSWORD)
    await databases.ensure(ONE.database, PASSWORD)
    with pytest.raises(NoConnectionsLeft, match="promised"):
        await databases.ensure(TWO.database, PASSWORD)
    assert (await databases.budget()).free == 1
    await databases.remove(ONE.database)
    await databases.ensure(TWO.database, PASSWORD)


async def test_a_database_that_outgrew_its_limit_is_shut(rig: Rig, databases: Databases) -> None:
    await databases.ensure(ONE.database, PASSWORD)
    (size,) = (await databases.police()).sizes
    assert (size.name, size.fill) == (ONE.database, Fill.FINE)
    small = rig.databases(DatabaseLimits(connections=3, bytes=size.bytes // 2))
    (size,) = (await small.police()).sizes
    assert size.fill is Fill.SHUT
    with pytest.raises(DatabaseFull):
        await small.ensure(ONE.database, PASSWORD)


async def test_it_says_at_which_revision_it_is(rig: Rig, databases: Databases) -> None:
    await databases.ensure(ONE.database, PASSWORD)
    assert await databases.revisions(ONE.database, PASSWORD) == frozenset()
    await rig.migrate(ONE.database, "0001")
    assert await databases.revisions(ONE.database, PASSWORD) == frozenset({"0001"})
    assert await databases.revisions(TWO.database, PASSWORD) is None


async def test_a_script_runs_as_the_role_itself(databases: Databases) -> None:
    await databases.ensure(ONE.database, PASSWORD)
    await databases.run_script(ONE.database, PASSWORD, "CREATE TABLE a (); DROP TABLE a")
    if isinstance(databases, PostgresDatabases):
        with pytest.raises(ScriptError, match="permission denied"):
            await databases.run_script(ONE.database, PASSWORD, "CREATE ROLE another")
