"""The embedded servers, run by the supervisor: who gets in from where, and what a start and an end leave."""

import asyncio
import os
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError

from orchestrator.adapters.embedded import postgres, programs, redis
from orchestrator.adapters.embedded.addresses import free_port, listens
from orchestrator.adapters.embedded.postgres import PostgresServer
from orchestrator.adapters.embedded.redis import RedisServer
from orchestrator.adapters.embedded.supervisor import Part, PartFailed, supervise
from orchestrator.preview.errors import ConfigurationError
from tests.support.wait import eventually


def own_address() -> str:
    """An address of this machine other than loopback, as the bridge's gateway is one. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("198.51.100.1", 9))
        return str(probe.getsockname()[0])


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Not one of pytest's: those are closed to other accounts, and Postgres runs as one when we are root."""
    with tempfile.TemporaryDirectory(prefix="previewd-test-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


@asynccontextmanager
async def up(*parts: Part, say: Callable[[str], None] = print) -> AsyncIterator[None]:
    stop, ready = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(supervise(parts, stop, say, ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        if not running.done():
            yield
    finally:
        stop.set()
        await running


async def postgres_server(data_dir: Path, port: int = 0, database: str = "postgres") -> PostgresServer:
    return PostgresServer(
        name="previews-postgres",
        program=programs.readable(await programs.find_postgres(), programs.account(), data_dir / "programs"),
        home=data_dir / "previews-postgres",
        port=port or free_port("127.0.0.1"),
        password="s3cret_Admin-word",
        database=database,
        gateways=(own_address(),),
    )


async def redis_server(data_dir: Path) -> RedisServer:
    return RedisServer(
        program=programs.readable(await programs.find_redis(), programs.account(), data_dir / "programs"),
        home=data_dir / "redis", port=free_port("127.0.0.1"), password="s3cret_Redis-word",
    )  # fmt: skip


async def test_postgres_keeps_its_data_over_a_restart(data_dir: Path) -> None:
    server = await postgres_server(data_dir, database="previewd")
    for expected in ([], ["kept"]):
        await postgres.prepare(server)
        async with up(postgres.part(server, data_dir / "log" / "postgres.log")):
            connection = await asyncpg.connect(server.url)
            assert await connection.fetchval("SELECT current_database()") == "previewd"
            await connection.execute("CREATE TABLE IF NOT EXISTS note (text text)")
            assert [row["text"] for row in await connection.fetch("SELECT text FROM note")] == expected
            await connection.execute("INSERT INTO note VALUES ('kept')")
            await connection.close()


async def test_who_gets_into_the_previews_server(data_dir: Path) -> None:
    server = await postgres_server(data_dir)
    await postgres.prepare(server)
    async with up(postgres.part(server, data_dir / "log" / "postgres.log")):
        admin = await asyncpg.connect(server.url)
        await admin.execute("CREATE ROLE pv_1 LOGIN PASSWORD 'one'")
        await admin.execute("CREATE DATABASE pv_1 OWNER pv_1")
        await admin.execute("CREATE DATABASE open_to_all OWNER pv_1")
        await admin.close()
        gateway = server.gateways[0]
        tenant = f"postgresql://pv_1:one@{gateway}:{server.port}"
        await (await asyncpg.connect(f"{tenant}/pv_1")).close()
        refused = (
            server.url.replace("127.0.0.1", gateway),
            server.url.replace(server.password, "wrong"),
            server.url.replace(f":{server.password}", ""),
            f"{tenant}/postgres",
            f"{tenant}/template1",
            f"{tenant}/open_to_all",
            tenant.replace(":one", ":two") + "/pv_1",
            f"{tenant.replace(gateway, '127.0.0.1')}/postgres",
        )
        for url in refused:
            with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
                await asyncpg.connect(url)
        assert not await listens("127.0.0.3", server.port)


async def test_postgres_runs_without_root_and_hides_the_password(data_dir: Path) -> None:
    server = await postgres_server(data_dir)
    await postgres.prepare(server)
    async with up(postgres.part(server, data_dir / "log" / "postgres.log")):
        pid = int((server.data / "postmaster.pid").read_text().split()[0])
        assert os.geteuid() != 0 or _owner(pid) != 0
        assert not _anywhere(data_dir, server.password)


async def test_a_directory_closed_to_the_servers_account_is_named(data_dir: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root runs servers as another account")
    closed = data_dir / "closed"
    closed.mkdir(mode=0o700)
    server = await postgres_server(data_dir)
    with pytest.raises(ConfigurationError, match=f"only root may enter {closed}"):
        await postgres.prepare(
            PostgresServer(name="p", program=server.program, home=closed / "p", port=1, password="x")
        )


def test_programs_in_a_closed_directory_are_copied(data_dir: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root runs servers as another account")
    path = data_dir / "closed" / "bin" / "server"
    path.parent.mkdir(parents=True)
    path.write_text("x")
    path.chmod(0o755)
    program = programs.Program(path=path, root=path.parent, parts=("server",), version=(1, 2))
    assert programs.readable(program, "nobody", data_dir) is program
    (data_dir / "closed").chmod(0o700)
    assert programs.readable(program, "", data_dir) is program
    copy = programs.readable(program, "nobody", data_dir / "programs")
    assert copy.path == data_dir / "programs" / "server-1.2" / "server"
    assert copy.path.read_text() == "x"


async def test_the_copied_wheel_runs(data_dir: Path) -> None:
    found = await programs.find_postgres()
    home = data_dir / "programs" / "copy"
    home.parent.mkdir()
    programs._copy(found, home)
    program = programs.Program(
        path=home / found.path.relative_to(found.root), root=home, parts=found.parts, version=found.version
    )
    server = PostgresServer(
        name="copied", program=program, home=data_dir / "copied", port=free_port("127.0.0.1"), password="x"
    )
    await postgres.prepare(server)
    async with up(postgres.part(server, data_dir / "copied.log")):
        assert await postgres.answers(server)


async def test_another_major_version_is_refused_by_name(data_dir: Path) -> None:
    server = await postgres_server(data_dir)
    server.data.mkdir(parents=True)
    (server.data / "PG_VERSION").write_text("12\n")
    with pytest.raises(ConfigurationError, match="made by Postgres 12"):
        await postgres.prepare(server)


async def test_a_port_in_use_is_told_before_anything_starts(data_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = await postgres_server(data_dir, port=taken.getsockname()[1])
        with pytest.raises(ConfigurationError, match=r"cannot listen on 127\.0\.0\.1:.*already in use"):
            await postgres.prepare(server)


async def test_a_server_that_does_not_start_is_told_in_its_own_words(data_dir: Path) -> None:
    server = await postgres_server(data_dir)
    await postgres.prepare(server)
    (server.data / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(PartFailed, match="no_such_setting"):
        async with up(postgres.part(server, data_dir / "log" / "postgres.log")):
            pass


async def test_redis_wants_the_password_and_runs_no_scripts(data_dir: Path) -> None:
    server = await redis_server(data_dir)
    await redis.prepare(server)
    async with up(redis.part(server, data_dir / "log" / "redis.log")):
        async with Redis.from_url(server.url) as client:
            async with client.pipeline(transaction=True) as transaction:
                await transaction.watch("counter")
                transaction.multi()
                transaction.incr("counter")
                assert await transaction.execute() == [1]
            for forbidden in (("EVAL", "return 1", "0"), ("CONFIG", "SET", "dir", "/tmp"), ("DEBUG", "SLEEP", "0")):
                with pytest.raises(NoPermissionError):
                    await client.execute_command(*forbidden)
            await client.flushall()
        for url in (server.url.replace(server.password, "wrong"), server.url.replace(f":{server.password}@", "")):
            async with Redis.from_url(url) as stranger:
                with pytest.raises(AuthenticationError):
                    await stranger.ping()
        assert not await listens(own_address(), server.port)
        assert server.file.stat().st_mode & 0o077 == 0
        assert not _anywhere(data_dir, server.password)


async def test_a_server_that_is_killed_comes_back(data_dir: Path) -> None:
    database, queue = await postgres_server(data_dir), await redis_server(data_dir)
    await postgres.prepare(database)
    await redis.prepare(queue)
    said: list[str] = []
    parts = (
        postgres.part(database, data_dir / "log" / "postgres.log"),
        redis.part(queue, data_dir / "log" / "redis.log"),
    )
    async with up(*parts, say=said.append):
        pid = int((database.data / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: _another(database, pid), "Postgres runs again", 30)
        await eventually(lambda: postgres.answers(database), "Postgres answers again", 30)
    assert any("was ended by SIGKILL" in line for line in said)
    assert not await postgres.answers(database)
    assert not await redis.answers(queue)


async def _another(server: PostgresServer, pid: int) -> bool:
    try:
        return int((server.data / "postmaster.pid").read_text().split()[0]) != pid
    except (FileNotFoundError, IndexError):
        return False


def _owner(pid: int) -> int:
    return Path("/proc", str(pid)).stat().st_uid


def _anywhere(directory: Path, text: str) -> list[Path]:
    """Small files below `directory`, and command lines of processes, that hold `text` as it is."""
    files = [path for path in directory.rglob("*") if path.is_file() and path.stat().st_size < 100_000]
    commands = list(Path("/proc").glob("[0-9]*/cmdline"))
    found = []
    for path in (*files, *commands):
        try:
            if text.encode() in path.read_bytes():
                found.append(path)
        except (OSError, ProcessLookupError):
            continue
    return found
