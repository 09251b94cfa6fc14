"""`previewd db …` on a real server: what goes out comes back, and nothing of a stranger's ever runs as anybody else."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.adapters.embedded import programs
from orchestrator.adapters.postgres import PostgresDatabases
from orchestrator.cli import database as commands
from orchestrator.cli.conventions import UnclearId
from orchestrator.databases.limits import DatabaseLimits
from orchestrator.databases.record import DatabaseRecord
from orchestrator.ports.databases import DatabaseAccess
from orchestrator.preview.errors import ConfigurationError, OperatorError, TemporaryError
from orchestrator.preview.names import Names, next_database
from orchestrator.preview.state import PreviewId
from orchestrator.store.deliveries import Delivery, Hint
from orchestrator.store.encryption import DATABASE_PASSWORD, Encryption
from orchestrator.store.store import Store
from tests.support.servers import Servers
from tests.support.tenants import ask, run

ONE, OTHER, EMPTY = PreviewId(71, 1), PreviewId(71, 2), PreviewId(71, 3)
NAMES = {preview: Names(instance="c", preview=preview).database for preview in (ONE, OTHER)}
KEY = "a key for tests"
FILLED = (
    "CREATE EXTENSION citext",
    "CREATE TABLE items (id serial PRIMARY KEY, name citext, line text)",
    r"INSERT INTO items (name, line) VALUES ('one', E'\\! touch x'), ('two', E'\restrict a'), ('three', E'\\.')",
    "CREATE VIEW named AS SELECT name FROM items",
)
COUNT = "SELECT count(*) FROM items"


@dataclass(frozen=True, slots=True, kw_only=True)
class Previews:
    """Two previews with a database each, and a third without."""

    store: Store
    databases: PostgresDatabases
    access: dict[PreviewId, DatabaseAccess]


@pytest.fixture
def server_url(request: pytest.FixtureRequest, real_servers: Servers) -> str:
    """The previews' server, of the newest version if a test does not ask for the older one."""
    if getattr(request, "param", "18") == "15":
        return str(request.getfixturevalue("older_postgres_url"))
    return real_servers.postgres_url


@pytest.fixture
async def previews(
    database: AsyncEngine, database_url: str, server_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Previews]:
    for name in [name for name in os.environ if name.startswith("PREVIEWD_")]:
        monkeypatch.delenv(name)
    settings = {
        "DATABASE_URL": database_url, "PREVIEWS_DATABASE_URL": server_url, "SECRET_KEY": KEY,
        "INSTANCE": "c", "DATA_DIR": str(tmp_path / "data"),
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(f"PREVIEWD_{name}", value)
    store = Store.of(database)
    databases = PostgresDatabases(server_url, "127.0.0.1", "c", DatabaseLimits(connections=5))
    try:
        for preview in (ONE, OTHER, EMPTY):
            await _record(store, preview)
        access = {preview: await databases.ensure(name, f"password-{preview}") for preview, name in NAMES.items()}
        await run(access[ONE], *FILLED)
        yield Previews(store=store, databases=databases, access=access)
    finally:
        for name in NAMES.values():
            await databases.remove(name)


async def _record(store: Store, preview: PreviewId) -> None:
    hint = Hint(
        preview=preview, repository_name="acme/shop", title="Prices", author="mira", branch="b",
        hosts=(f"pr-{preview}.preview.test",),
    )  # fmt: skip
    delivery = Delivery(id=str(preview), event="pull_request", action="opened", outcome="accepted", reason="")
    await store.deliveries.record(delivery, hint)
    lease = await store.claims.borrow(preview)
    assert lease is not None
    if preview in NAMES:
        await lease.keep_secrets(Encryption([SecretStr(KEY)]).seal({DATABASE_PASSWORD: f"password-{preview}"}))
        await lease.keep_database(DatabaseRecord(commit="a" * 40))
    await lease.release()


def previewd(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", "db", *arguments], capture_output=True, text=True, check=False
    )


async def test_psql_is_the_previews_own_role_and_its_exit_code_is_ours(previews: Previews) -> None:
    done = await asyncio.to_thread(previewd, "psql", str(ONE), "-tAc", "SELECT current_user, current_database()")
    assert done.stdout.strip() == f"{NAMES[ONE]}|{NAMES[ONE]}", done.stderr
    failed = await asyncio.to_thread(previewd, "psql", str(ONE), "-tAc", "SELECT * FROM pg_authid")
    assert (failed.returncode, "permission denied" in failed.stderr) == (1, True)
    assert (await asyncio.to_thread(previewd, "psql", "nobody", "-c", "SELECT 1")).returncode == 2
    with pytest.raises(OperatorError, match="has no database"):
        await commands.dump(str(EMPTY), "-", plain=True)


@pytest.mark.parametrize("server_url", ["18", "15"], indirect=True)
@pytest.mark.parametrize("plain", [False, True])
async def test_a_dump_is_restored_into_another_preview(previews: Previews, tmp_path: Path, *, plain: bool) -> None:
    file = tmp_path / "dump"
    assert await commands.dump(str(ONE), str(file), plain=plain) == 0
    assert file.stat().st_mode & 0o777 == 0o600
    await run(previews.access[OTHER], "CREATE TABLE gone ()")

    assert await commands.restore(str(OTHER), str(file)) == 0

    other = previews.access[OTHER]
    assert await ask(other, "SELECT array_agg(line ORDER BY id) FROM items") == ["\\! touch x", "\restrict a", "\\."]
    assert await ask(other, "SELECT to_regclass('gone')") is None
    assert (
        await ask(other, "SELECT count(*) FROM pg_class WHERE relowner <> 10 AND relowner <> current_user::regrole")
        == 0
    )
    due = dict(await previews.store.generations.due())
    assert due[OTHER] > 1  # it is deployed again, so that migrations run on what it holds now
    lease = await previews.store.claims.borrow(OTHER)
    assert lease is not None
    record = (await lease.row()).database
    assert record is not None
    assert record.resets != 0


@pytest.mark.parametrize("plain", [False, True])
async def test_what_only_previewd_may_install_is_there_when_the_dump_needs_it(
    previews: Previews, tmp_path: Path, *, plain: bool
) -> None:
    await previews.databases.reset(NAMES[ONE], extensions=("vector",))
    await run(previews.access[ONE], "CREATE TABLE items (v vector(2))", "INSERT INTO items VALUES ('[1,2]')")
    await commands.dump(str(ONE), str(tmp_path / "dump"), plain=plain)
    await commands.restore(str(ONE), str(tmp_path / "dump"))
    assert await ask(previews.access[ONE], "SELECT v::text FROM items") == "[1,2]"


EVIL = (
    "\\! touch {proof}\n",
    "\\unrestrict guess\n\\! touch {proof}\n",
    "\\restrict word\n\\unrestrict word\n\\! touch {proof}\n",
    "\\o {proof}\nSELECT 1;\n",
    "SELECT 1 \\g {proof}\n",
    "\\copy (SELECT 1) TO '{proof}'\n",
    "COPY (SELECT 1) TO PROGRAM 'touch {proof}';\n",
    "\\connect - postgres\nSELECT 1;\n",
    "CREATE TABLE half (); SELECT 1/0;\n",
)


@pytest.mark.parametrize("server_url", ["18", "15"], indirect=True)
async def test_a_script_does_nothing_to_the_machine_and_changes_nothing_by_half(
    previews: Previews, tmp_path: Path
) -> None:
    proof, file = tmp_path / "proof", tmp_path / "evil.sql"
    for script in EVIL:
        file.write_text(script.format(proof=proof))
        with pytest.raises(OperatorError, match="psql failed"):
            await commands.restore(str(ONE), str(file))
        assert not proof.exists(), script
    assert await ask(previews.access[ONE], COUNT) == 3
    assert not [name for name in await previews.databases.names() if name.endswith("_n")]
    assert dict(await previews.store.generations.due())[ONE] == 1  # nothing was restored, so nothing is deployed


async def test_traps_in_a_database_run_as_its_own_role_only(previews: Previews, tmp_path: Path) -> None:
    """Whatever a tool of ours touches there writes down who it is."""
    await run(
        previews.access[ONE],
        "CREATE TABLE seen (who text)",
        "CREATE FUNCTION trap() RETURNS text LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO public.seen VALUES (session_user || ' ' || current_user); RETURN 'x'; END $$",
        "CREATE FUNCTION count(int) RETURNS bigint LANGUAGE sql AS 'SELECT public.trap(); SELECT 1::bigint'",
        "CREATE VIEW pg_database AS SELECT public.trap() AS datname",
        "CREATE VIEW pg_extension AS SELECT public.trap() AS extname",
        "CREATE VIEW pg_class AS SELECT public.trap() AS relname",
        "CREATE MATERIALIZED VIEW stored AS SELECT public.trap()",
        "CREATE TABLE guarded (a text DEFAULT public.trap())",
        "CREATE INDEX ON guarded ((a || ''))",
        "ALTER TABLE guarded ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE guarded FORCE ROW LEVEL SECURITY",
        f'ALTER ROLE "{NAMES[ONE]}" SET search_path = public, pg_catalog',
    )
    file = tmp_path / "dump"
    await commands.snapshot(str(ONE))
    with pytest.raises(OperatorError, match="row-level security"):  # its own role is under its own policies
        await commands.dump(str(ONE), str(file), plain=False)
    await run(previews.access[ONE], "DROP TABLE guarded")
    await commands.dump(str(ONE), str(file), plain=False)
    await commands.restore(str(ONE), str(file))
    seen = await ask(previews.access[ONE], "SELECT array_agg(DISTINCT who) FROM seen")
    assert seen == [f"{NAMES[ONE]} {NAMES[ONE]}"]


async def test_a_restore_that_is_cut_short_changes_nothing(previews: Previews, tmp_path: Path) -> None:
    file = tmp_path / "slow.sql"
    file.write_text("CREATE TABLE slow (); SELECT pg_sleep(600);\n")
    work = asyncio.create_task(commands.restore(str(ONE), str(file)))
    while not await _is_filled(previews):
        assert not work.done()
        await asyncio.sleep(0.02)
    assert await previews.store.claims.acquire(ONE) is None  # the worker keeps away meanwhile
    assert await ask(previews.access[ONE], COUNT) == 3
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    assert await ask(previews.access[ONE], COUNT) == 3
    assert not [name for name in await previews.databases.names() if name.endswith("_n")]
    assert await previews.store.claims.acquire(ONE) is not None


async def _is_filled(previews: Previews) -> bool:
    one = previews.access[ONE]
    filled = next_database(one.database)
    query = f"SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND datname = '{filled}'"  # noqa: S608
    return bool(await ask(one, query))


async def test_a_snapshot_is_gone_back_to_and_only_some_are_kept(
    previews: Previews, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 1_800_000_000
    for number in range(commands.KEPT_SNAPSHOTS + 1):
        monkeypatch.setattr("time.time", lambda number=number: now + number)
        await commands.snapshot(str(ONE))
        await run(previews.access[ONE], "INSERT INTO items (name) VALUES ('more')")
    assert await commands.restore(str(ONE), f"s{now + 1}") == 0
    assert await ask(previews.access[ONE], COUNT) == 4
    capsys.readouterr()
    await commands.list_backups(str(ONE), as_json=False)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [f"s{now + n}" for n in (3, 2, 1)]
    with pytest.raises(UnclearId):
        await commands.restore(str(ONE), f"s{now}")


async def test_a_backup_goes_into_another_preview(previews: Previews, capsys: pytest.CaptureFixture[str]) -> None:
    assert await commands.backup(str(ONE), every="", keep=7) == 0
    number = capsys.readouterr().out.split()[1].removesuffix(":")
    assert await commands.restore(str(OTHER), number) == 0
    assert await ask(previews.access[OTHER], COUNT) == 3
    with pytest.raises(UnclearId):
        await commands.restore(str(OTHER), "999999")
    with pytest.raises(UnclearId):
        await commands.restore(str(OTHER), "no-such-file")


async def test_a_read_only_database_is_dumped_and_replaced(previews: Previews, tmp_path: Path) -> None:
    """What a database that has outgrown its limit needs most."""
    await commands.dump(str(ONE), str(tmp_path / "dump"), plain=False)
    await run(previews.access[ONE], f'ALTER ROLE "{NAMES[ONE]}" SET default_transaction_read_only = on')
    assert await commands.restore(str(ONE), str(tmp_path / "dump")) == 0


async def test_a_missing_or_old_program_is_named(
    previews: Previews, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "_wheel_postgres", lambda: [tmp_path])
    monkeypatch.setattr(programs, "_installed_postgres", list)
    monkeypatch.setattr(programs, "_on_path", lambda _: [])
    with pytest.raises(ConfigurationError, match=r"there is no pg_dump .* which is version 1"):
        await commands.dump(str(ONE), str(tmp_path / "dump"), plain=False)
    old = tmp_path / "pg_dump"
    old.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.1'\n")
    old.chmod(0o755)
    with pytest.raises(ConfigurationError, match="newest that is here is version 9"):
        await commands.dump(str(ONE), str(tmp_path / "dump"), plain=False)
    assert not (tmp_path / "dump").exists()


async def test_a_server_that_is_away_is_said(previews: Previews, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVIEWD_PREVIEWS_DATABASE_URL", "postgresql://nobody:x@127.0.0.1:1/postgres")
    with pytest.raises(TemporaryError, match="the previews' Postgres does not answer"):
        await commands.dump(str(ONE), "-", plain=True)


async def test_an_uncommitted_change_is_not_replaced(previews: Previews, tmp_path: Path) -> None:
    """A restore must not come between a commit's migrations and the proof that it serves."""
    (tmp_path / "dump.sql").write_text("SELECT 1;\n")
    lease = await previews.store.claims.borrow(ONE)
    assert lease is not None
    stored = DatabaseRecord(commit="a" * 40).stored() | {
        "undo": {"commit": "b" * 40, "snapshot": "c_71_1_s1", "revisions": None}
    }
    await lease.keep_database(DatabaseRecord.read(stored) or DatabaseRecord(commit=""))
    await lease.release()
    with pytest.raises(OperatorError, match="does not serve yet"):
        await commands.restore(str(ONE), str(tmp_path / "dump.sql"))


async def test_the_password_is_on_no_command_line(previews: Previews) -> None:
    clients = await previews.databases.clients(NAMES[ONE], "a-secret")
    argv, environment = await clients.psql([])
    assert "a-secret" not in " ".join(argv)
    assert environment["PGPASSWORD"] == "a-secret"
    assert "a-secret" not in repr(clients)
