"""Two tenants attack each other, the server and us, on a new and on an old Postgres. None of it succeeds."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import pytest

from orchestrator.adapters.postgres import PostgresDatabases
from orchestrator.databases.limits import DatabaseLimits
from orchestrator.ports.databases import DatabaseAccess
from orchestrator.preview import names
from tests.support.tenants import ask, connected, run

MALLORY, VICTIM = "h_1_1", "h_1_2"
SNAPSHOT = f"{VICTIM}_s1"
TEMPLATE = names.template("h", 1, "base")
OWNER = names.owner_role("h")
PASSWORDS = {MALLORY: "password-of-mallory", VICTIM: "password-of-victim"}
SECRET = "what only the victim may read"

DENIED = {
    "its own limits": (
        f"ALTER DATABASE {MALLORY} CONNECTION LIMIT -1",
        f"ALTER DATABASE {MALLORY} SET search_path = public",
        f"ALTER DATABASE {MALLORY} ALLOW_CONNECTIONS true",
        f"ALTER DATABASE {MALLORY} RENAME TO h_9_9",
        f"ALTER DATABASE {MALLORY} OWNER TO {MALLORY}",
        f"ALTER DATABASE {MALLORY} TABLESPACE pg_global",
        f"ALTER ROLE {MALLORY} CONNECTION LIMIT -1",
        f"ALTER ROLE {MALLORY} SUPERUSER",
        f"ALTER ROLE {MALLORY} CREATEDB",
        f"ALTER ROLE {MALLORY} CREATEROLE",
        f"ALTER ROLE {MALLORY} REPLICATION",
        f"ALTER ROLE {MALLORY} BYPASSRLS",
        f"ALTER ROLE {MALLORY} RENAME TO h_9_9",
        f"ALTER ROLE {MALLORY} SET temp_file_limit = -1",
        "SET temp_file_limit = -1",
        "SET session_preload_libraries = 'x'",
        "SET log_statement = 'none'",
        "SET track_activities = off",
        f"COMMENT ON DATABASE {MALLORY} IS 'not previewd''s'",
        f"DROP DATABASE {MALLORY}",
    ),
    "other roles and databases": (
        f"DROP DATABASE {VICTIM} WITH (FORCE)",
        f"ALTER DATABASE {VICTIM} RENAME TO h_9_9",
        f"CREATE DATABASE h_9_9 TEMPLATE {VICTIM}",
        f"CREATE DATABASE h_9_9 TEMPLATE {TEMPLATE}",
        f"CREATE DATABASE h_9_9 TEMPLATE {SNAPSHOT}",
        f"ALTER DATABASE {SNAPSHOT} ALLOW_CONNECTIONS true",
        f"ALTER ROLE {VICTIM} PASSWORD 'mine'",
        f"ALTER ROLE {VICTIM} SET search_path = 'mine'",
        f"ALTER ROLE ALL IN DATABASE {VICTIM} SET search_path = 'mine'",
        f"SET ROLE {VICTIM}",
        f"SET ROLE {OWNER}",
        "SET ROLE pg_read_all_data",
        f"SET SESSION AUTHORIZATION {VICTIM}",
        "SET SESSION AUTHORIZATION previewd",
        f"GRANT {VICTIM} TO {MALLORY}",
        f"GRANT {OWNER} TO {MALLORY}",
        f"GRANT pg_read_server_files TO {MALLORY}",
        f"REASSIGN OWNED BY {VICTIM} TO {MALLORY}",
        f"DROP OWNED BY {VICTIM}",
        f"DROP ROLE {VICTIM}",
        "CREATE ROLE h_9_9",
        "CREATE USER h_9_9 SUPERUSER",
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {VICTIM} GRANT SELECT ON TABLES TO {MALLORY}",
        f"SELECT pg_database_size('{VICTIM}')",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{VICTIM}'",  # noqa: S608
        f"SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE usename = '{VICTIM}'",  # noqa: S608
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'previewd'",
        "SELECT rolpassword FROM pg_authid",
        "SELECT passwd FROM pg_shadow",
        "UPDATE pg_database SET datallowconn = true",
        "DELETE FROM pg_shdepend",
        "LOCK TABLE pg_database IN ACCESS EXCLUSIVE MODE",
        "LOCK TABLE pg_authid IN ACCESS SHARE MODE",
    ),
    "files and programs": (
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "CREATE TABLE taken (line text); COPY taken FROM PROGRAM 'id'",
        "COPY (SELECT 1) TO '/tmp/previewd-was-here'",
        "CREATE TABLE taken (line text); COPY taken FROM '/etc/passwd'",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_read_binary_file('postgresql.conf')",
        "SELECT pg_ls_dir('.')",
        "SELECT pg_ls_waldir()",
        "SELECT pg_stat_file('PG_VERSION')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_export(lo_from_bytea(0, 'x'), '/tmp/previewd-was-here')",
        "SELECT pg_current_logfile()",
        "SELECT * FROM pg_file_settings",
        "SELECT * FROM pg_hba_file_rules",
        "SELECT 1 / count(*) FROM pg_settings WHERE name IN ('data_directory', 'hba_file', 'config_file')",
        "LOAD '/tmp/evil.so'",
        "CREATE FUNCTION evil() RETURNS int LANGUAGE c AS '/lib/x86_64-linux-gnu/libc.so.6', 'getpid'",
        "CREATE FUNCTION evil() RETURNS int LANGUAGE internal AS 'pg_backend_pid'",
        "CREATE TABLESPACE mine LOCATION '/tmp'",
    ),
    "extensions and ways out": (
        "CREATE EXTENSION dblink",
        "CREATE EXTENSION postgres_fdw",
        "CREATE EXTENSION file_fdw",
        "CREATE EXTENSION pageinspect",
        "CREATE EXTENSION pg_buffercache",
        "CREATE EXTENSION plpython3u",
        "CREATE FOREIGN DATA WRAPPER mine",
        "CREATE SUBSCRIPTION mine CONNECTION 'host=127.0.0.1' PUBLICATION p WITH (connect = false)",
        "CREATE PUBLICATION mine FOR ALL TABLES",
        "SELECT pg_create_logical_replication_slot('mine', 'pgoutput')",
        "SELECT pg_create_physical_replication_slot('mine')",
        "CREATE TRUSTED LANGUAGE mine HANDLER plpgsql_call_handler",
        "CREATE ACCESS METHOD mine TYPE index HANDLER bthandler",
    ),
    "the server": (
        "ALTER SYSTEM SET max_connections = 1",
        "ALTER SYSTEM RESET ALL",
        "SELECT pg_reload_conf()",
        "SELECT pg_rotate_logfile()",
        "SELECT pg_switch_wal()",
        "SELECT pg_backup_start('x')",
        "SELECT pg_promote()",
        "SELECT pg_stat_reset_shared('bgwriter')",
        "SELECT pg_log_backend_memory_contexts(pg_backend_pid())",
        "CHECKPOINT",
        "BEGIN; PREPARE TRANSACTION 'kept'",
    ),
    "traps for the administrator": (
        "CREATE EVENT TRIGGER trap ON ddl_command_end EXECUTE FUNCTION harmless()",
        "CREATE FUNCTION pg_catalog.trap() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE OPERATOR pg_catalog.= (LEFTARG = name, RIGHTARG = text, FUNCTION = texteqname)",
        "CREATE CAST (text AS int) WITH INOUT AS IMPLICIT",
        "CREATE TRIGGER trap BEFORE INSERT ON pg_catalog.pg_class EXECUTE FUNCTION harmless()",
        "CREATE RULE trap AS ON INSERT TO pg_catalog.pg_database DO ALSO SELECT 1",
        "CREATE TABLE information_schema.trap ()",
        "ALTER SCHEMA pg_catalog RENAME TO mine",
        "CREATE SCHEMA pg_trap",
        "ALTER ROLE previewd SET search_path = public",
        f"ALTER ROLE previewd IN DATABASE {MALLORY} SET search_path = public",
        "ALTER ROLE ALL SET search_path = public",
    ),
}
WITHOUT_EFFECT = (
    f"GRANT CONNECT ON DATABASE {MALLORY} TO PUBLIC",
    f"GRANT CONNECT ON DATABASE {VICTIM} TO {MALLORY}",
    f"REVOKE CONNECT ON DATABASE {VICTIM} FROM {VICTIM}",
    "GRANT CONNECT ON DATABASE postgres TO PUBLIC",
)
"""Answered with a warning or an error, as the server likes: that nothing came of them is seen afterwards."""

MISTAKES = (
    asyncpg.PostgresSyntaxError,
    asyncpg.UndefinedFunctionError,
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
)
"""A statement that ends so was not refused: it is wrong, and shows nothing."""

STATE = """
SELECT rolname AS name, to_jsonb(r) - 'oid' AS state FROM pg_roles r
UNION ALL SELECT datname, to_jsonb(d) - '{oid,datfrozenxid,datminmxid}'::text[] FROM pg_database d
UNION ALL SELECT 'members', to_jsonb(m) FROM pg_auth_members m
UNION ALL SELECT 'settings', to_jsonb(s) FROM pg_db_role_setting s
ORDER BY 1, 2
"""
"""All that a server says of roles, databases, rights on them and defaults for them."""

TRAP = """
CREATE FUNCTION public.trap() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE 'CREATE ROLE h_trapped';
    RETURN true;
EXCEPTION WHEN OTHERS THEN
    RETURN true;
END $$
"""
"""What Mallory wants to have run as the administrator."""

TRAPS = (
    TRAP,
    "CREATE FUNCTION harmless() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM trap(); RETURN NEW; END'",
    "CREATE FUNCTION public.has_database_privilege(text, oid, text) RETURNS boolean LANGUAGE sql AS 'SELECT trap()'",
    "CREATE FUNCTION public.has_database_privilege(name, oid, text) RETURNS boolean LANGUAGE sql AS 'SELECT trap()'",
    "CREATE FUNCTION public.current_setting(text) RETURNS text LANGUAGE sql AS 'SELECT trap()::text'",
    "CREATE FUNCTION public.same(name, name) RETURNS boolean LANGUAGE sql AS 'SELECT trap()'",
    "CREATE FUNCTION public.same(name, text) RETURNS boolean LANGUAGE sql AS 'SELECT trap()'",
    "CREATE OPERATOR public.= (LEFTARG = name, RIGHTARG = name, FUNCTION = public.same)",
    "CREATE OPERATOR public.= (LEFTARG = name, RIGHTARG = text, FUNCTION = public.same)",
    "CREATE TABLE public.pg_database (datname name, oid oid, datconnlimit int)",
    f"INSERT INTO public.pg_database VALUES ('{MALLORY}', 1, -1)",  # noqa: S608
    "CREATE TABLE public.pg_available_extensions (name text)",
    "CREATE TABLE indexed (id int); CREATE INDEX ON indexed ((id)) WHERE id > 0",
    "CREATE TABLE guarded (id int CHECK (trap()))",
    "CREATE TRIGGER t BEFORE INSERT ON guarded FOR EACH ROW EXECUTE FUNCTION harmless()",
    "CREATE VIEW looking AS SELECT trap()",
    "CREATE RULE r AS ON INSERT TO guarded DO ALSO SELECT trap()",
    "ALTER ROLE h_1_1 SET search_path = public, pg_catalog",
)


@pytest.fixture
async def databases(previews_server_url: str) -> AsyncIterator[PostgresDatabases]:
    databases = PostgresDatabases(previews_server_url, "127.0.0.1", "h", DatabaseLimits(connections=5))
    try:
        yield databases
    finally:
        for name in (MALLORY, VICTIM, TEMPLATE):
            await databases.remove(name)
        admin = await asyncpg.connect(previews_server_url)
        await admin.execute(f"DROP ROLE IF EXISTS {OWNER}, h_trapped")
        await admin.close()


@pytest.fixture
async def mallory(databases: PostgresDatabases) -> DatabaseAccess:
    return await databases.ensure(MALLORY, PASSWORDS[MALLORY])


@pytest.fixture
async def victim(databases: PostgresDatabases) -> DatabaseAccess:
    access = await databases.ensure(VICTIM, PASSWORDS[VICTIM])
    await run(access, "CREATE TABLE kept (text text)", f"INSERT INTO kept VALUES ('{SECRET}')")  # noqa: S608
    await databases.snapshot(VICTIM, SNAPSHOT)
    await databases.ensure(TEMPLATE, "password-of-template")
    await databases.finish_template(TEMPLATE, {"commit": "0" * 40})
    return access


async def test_there_are_enough_statements() -> None:
    assert sum(map(len, DENIED.values())) >= 100


async def test_no_statement_reaches_beyond_its_database(
    mallory: DatabaseAccess, victim: DatabaseAccess, previews_server_url: str
) -> None:
    async with connected(victim) as theirs, administrator(previews_server_url) as admin:
        await run(mallory, "CREATE FUNCTION harmless() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
        before = await admin.fetch(STATE)
        wrong = [
            f"{subject}: {statement}: {outcome}"
            for subject, statements in DENIED.items()
            for statement in statements
            if (outcome := await attempt(mallory, statement))
        ]
        for statement in WITHOUT_EFFECT:
            await attempt(mallory, statement)
        assert wrong == []
        assert await admin.fetch(STATE) == before
        assert await theirs.fetchval("SELECT text FROM kept") == SECRET


@pytest.mark.usefixtures("victim")
async def test_nobody_connects_to_what_is_not_theirs(mallory: DatabaseAccess) -> None:
    for database in (VICTIM, SNAPSHOT, TEMPLATE, "postgres", "template1", "template0"):
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.ObjectNotInPrerequisiteStateError)):
            await ask(replace(mallory, database=database), "SELECT 1")
    for role in (VICTIM, TEMPLATE, OWNER, "previewd"):
        with pytest.raises((asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError)):
            await ask(replace(mallory, role=role), "SELECT 1")


async def test_what_neighbours_do_is_not_seen(mallory: DatabaseAccess, victim: DatabaseAccess) -> None:
    heard: list[object] = []
    async with connected(mallory) as here, connected(victim) as there:
        await here.add_listener("news", lambda *news: heard.append(news))
        await here.execute("SELECT pg_advisory_lock(1)")
        assert await there.fetchval("SELECT pg_try_advisory_lock(1)")
        large = await there.fetchval(f"SELECT lo_from_bytea(0, '{SECRET}')")
        await there.execute(f"NOTIFY news; SELECT '{SECRET}'")
        with pytest.raises(asyncpg.UndefinedObjectError):
            await here.fetchval("SELECT lo_get($1)", large)
        seen = await here.fetch("SELECT query FROM pg_stat_activity WHERE usename = $1", VICTIM)
        assert {row["query"] for row in seen} == {"<insufficient privilege>"}
    assert heard == []


async def test_names_and_comments_tell_nothing(mallory: DatabaseAccess, victim: DatabaseAccess) -> None:
    """Catalogs are shared: what stands in them is numbers, and hashes."""
    await run(victim, "SELECT 1")
    async with connected(mallory) as connection:
        rows = await connection.fetch("SELECT datname FROM pg_database UNION SELECT rolname FROM pg_roles")
        ours = [row["datname"] for row in rows if row["datname"].startswith("h_")]
        assert {VICTIM, SNAPSHOT, TEMPLATE} <= set(ours)
        assert all(names.kind_of_database("h", name) or name == OWNER for name in ours)
        comments = await connection.fetch(
            "SELECT description FROM pg_shdescription WHERE description LIKE '%previewd%'"
        )
    for facts in (json.loads(row["description"]) for row in comments):
        assert facts.keys() <= {"previewd", "from", "made_of"}
        assert facts.get("from") is None or names.kind_of_database(facts["previewd"], facts["from"])


async def test_sorting_fills_no_disk(previews_server_url: str, databases: PostgresDatabases) -> None:
    small = PostgresDatabases(
        previews_server_url, "127.0.0.1", "h", DatabaseLimits(connections=5, temp_file_bytes=1 << 20)
    )
    access = await small.ensure(MALLORY, PASSWORDS[MALLORY])
    with pytest.raises(asyncpg.ConfigurationLimitExceededError):
        await run(access, "SET work_mem = '64kB'; SELECT * FROM generate_series(1, 500000) ORDER BY 1 DESC")
    assert MALLORY in await databases.names()


async def test_nothing_of_a_tenants_is_run_by_the_administrator(
    databases: PostgresDatabases, mallory: DatabaseAccess, previews_server_url: str
) -> None:
    await run(mallory, *TRAPS)
    await databases.snapshot(MALLORY, f"{MALLORY}_s1")
    await databases.ensure(VICTIM, PASSWORDS[VICTIM], source=f"{MALLORY}_s1")
    await databases.reset(VICTIM, source=f"{MALLORY}_s1", extensions=("vector",))
    await databases.police()
    await databases.ensure(MALLORY, PASSWORDS[MALLORY])
    await databases.restore(MALLORY, f"{MALLORY}_s1")
    async with administrator(previews_server_url) as admin:
        assert not await admin.fetchval("SELECT 1 FROM pg_roles WHERE rolname = 'h_trapped'")


async def attempt(access: DatabaseAccess, statement: str) -> str:
    """Try it: `succeeded`, a mistake of ours, or empty when it was refused."""
    try:
        await run(access, statement)
    except MISTAKES as error:
        return f"a mistake: {error}"
    except asyncpg.PostgresError:
        return ""
    return "succeeded"


@asynccontextmanager
async def administrator(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()
