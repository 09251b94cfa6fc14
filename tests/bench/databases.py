"""A database for a pull request: copied from a template of half a gigabyte, made empty, and fifty at once."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from orchestrator.adapters.embedded import programs
from orchestrator.adapters.postgres import PostgresDatabases
from orchestrator.cli.up import PREVIEWS_SETTINGS
from orchestrator.databases.limits import DatabaseLimits
from orchestrator.preview import names
from tests.bench.figures import Figure
from tests.support.servers import servers

TEMPLATE_MEGABYTES = 500
ROUNDS = 3
EMPTY_ROUNDS = 10
AT_ONCE = 50
PASSWORD = "of-no-importance"
LARGE = names.template("bench", 1, "large")
SMALL = names.template("bench", 1, "small")
PREVIEW = "bench_1_1"
PEER = "peer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    databases: PostgresDatabases
    url: str
    programs: Path
    """Where pg_dump and pg_restore are."""

    async def run(self, *statements: str, database: str = "postgres") -> None:
        connection = await asyncpg.connect(self.url, database=database, command_timeout=600)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def files(self, database: str) -> Path:
        connection = await asyncpg.connect(self.url)
        try:
            home = await connection.fetchval("SHOW data_directory")
            oid = await connection.fetchval("SELECT oid FROM pg_database WHERE datname = $1", database)
        finally:
            await connection.close()
        return Path(home, "base", str(oid))


async def databases() -> list[Figure]:
    """On a server that is set up as `previewd up` does."""
    with servers(PREVIEWS_SETTINGS) as started:
        rig = Rig(
            databases=PostgresDatabases(started.postgres_url, "127.0.0.1", "bench", DatabaseLimits(connections=1)),
            url=started.postgres_url,
            programs=(await programs.find_postgres()).path.parent,
        )
        await _template(rig, SMALL, 1)
        await _template(rig, LARGE, TEMPLATE_MEGABYTES)
        return [*await _large(rig), await _empty(rig), await _at_once(rig)]


async def _template(rig: Rig, name: str, megabytes: int) -> None:
    """Filled as a seed would: rows with a text and an index."""
    await rig.databases.ensure(name, PASSWORD)
    rows = megabytes * 900
    await rig.run(
        "CREATE TABLE seed (id int PRIMARY KEY, text text)",
        f"INSERT INTO seed SELECT i, repeat(md5(i::text), 30) FROM generate_series(1, {rows}) i",  # noqa: S608
        "CHECKPOINT",
        database=name,
    )
    await rig.databases.finish_template(name, {})


async def _large(rig: Rig) -> list[Figure]:
    source = await rig.files(LARGE)
    renamed: list[float] = []
    ours: list[float] = []
    copied: list[float] = []
    restored: list[float] = []
    for _ in range(ROUNDS):
        copied.append(await _copy_files(source))
        for found in (ours, renamed):
            found.append(await _timed(rig.databases.ensure(PREVIEW, PASSWORD, source=LARGE)))
            await rig.databases.remove(PREVIEW)
            await rig.databases.stock(LARGE)
        await rig.run(f"DROP DATABASE {names.spare_database(LARGE)}")
        restored.append(await _timed(_dump_and_restore(rig)))
        await rig.run(f"DROP DATABASE {PEER}")
    name = f"database from a {TEMPLATE_MEGABYTES} MB template"
    return [
        _figure(f"{name}, spare at hand", renamed, copied, "cp -r of its files, not waiting for the disk", "≤ 1.2 ×"),
        _figure(f"{name}, copied", ours, copied, "cp -r of its files, not waiting for the disk", "≤ 1.2 ×"),
        _figure(f"{name}, copied", ours, restored, "pg_dump | pg_restore", "≤ 0.5 ×"),
    ]


async def _empty(rig: Rig) -> Figure:
    async def ours() -> None:
        await rig.databases.ensure(PREVIEW, PASSWORD)
        await rig.databases.remove(PREVIEW)

    async def peers() -> None:
        await rig.run(f"CREATE DATABASE {PEER}", f"DROP DATABASE {PEER}")

    pairs = await _in_turn(ours, peers, EMPTY_ROUNDS)
    return _figure("empty database, made and removed", *pairs, "CREATE DATABASE; DROP DATABASE alone", "≤ 3 ×")


async def _at_once(rig: Rig) -> Figure:
    previews = [f"bench_1_{number}" for number in range(AT_ONCE)]
    peers = [f"{PEER}_{number}" for number in range(AT_ONCE)]
    theirs = await _timed(_all(rig.run(f"CREATE DATABASE {name} TEMPLATE {SMALL}") for name in peers))
    ours = await _timed(_all(rig.databases.ensure(name, PASSWORD, source=SMALL) for name in previews))
    await _all(rig.databases.remove(name) for name in previews)
    return _figure(f"{AT_ONCE} databases at once", [ours], [theirs], f"{AT_ONCE} × CREATE DATABASE alone", "≤ 3 ×")


async def _in_turn(
    ours: Callable[[], Awaitable[None]], peers: Callable[[], Awaitable[None]], rounds: int
) -> tuple[list[float], list[float]]:
    pairs = [(await _timed(ours()), await _timed(peers())) for _ in range(rounds)]
    return [ours for ours, _ in pairs], [peers for _, peers in pairs]


async def _copy_files(source: Path) -> float:
    with tempfile.TemporaryDirectory(dir=source.parents[2]) as folder:
        return await _timed(_process("cp", "-r", str(source), folder))


async def _dump_and_restore(rig: Rig) -> None:
    """Through a file: both programs then run at full speed, one after the other. The template has to be open for it."""
    await rig.run(f"CREATE DATABASE {PEER}", f"ALTER DATABASE {LARGE} ALLOW_CONNECTIONS true")
    address, _, _ = rig.url.rpartition("/")
    with tempfile.TemporaryDirectory() as folder:
        dump = f"{folder}/dump"
        await _process(str(rig.programs / "pg_dump"), "-Fc", "-Z0", "-f", dump, f"{address}/{LARGE}")
        await _process(str(rig.programs / "pg_restore"), "--no-owner", "-d", f"{address}/{PEER}", dump)
    await rig.run(f"ALTER DATABASE {LARGE} ALLOW_CONNECTIONS false")


async def _process(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(shutil.which(command[0]) or command[0], *command[1:])
    assert await process.wait() == 0, command


async def _all(works: Iterable[Awaitable[object]]) -> None:
    await asyncio.gather(*works)


async def _timed(work: Awaitable[object]) -> float:
    began = time.monotonic()
    await work
    return time.monotonic() - began


def _figure(name: str, ours: list[float], peers: list[float], peer: str, aim: str) -> Figure:
    return Figure(name=name, unit="s", ours=tuple(ours), peers=tuple(peers), peer=peer, aim=aim)
