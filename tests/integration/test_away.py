"""Whatever previewd needs goes away, in every way in which it can, and comes back: nothing is lost, all of it heals."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import psutil
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.adapters.engine import breaker
from orchestrator.adapters.engine import engine as engine_module
from orchestrator.adapters.engine.engine import DockerEngine
from orchestrator.adapters.git.repository import Repository
from orchestrator.adapters.postgres import PostgresDatabases
from orchestrator.databases.limits import DatabaseLimits
from orchestrator.preview.errors import DiskFull, TemporaryError, Unavailable
from orchestrator.preview.records import Preview
from orchestrator.preview.state import State
from orchestrator.runtime import health
from orchestrator.runtime.concurrency import run_all
from orchestrator.runtime.queue import open_queue
from orchestrator.runtime.settings import asyncpg_url
from orchestrator.store.connection import connect
from tests.integration.test_receiver import deliver, payload
from tests.integration.test_receiver import settings as web_settings
from tests.support.apps import tiny
from tests.support.door import Door
from tests.support.servers import CARELESS, Servers, servers, web_process
from tests.support.wait import eventually
from tests.support.world import World
from worker.jobs.periodic import PeriodicTask, run_periodically
from worker.jobs.sweep import sweep
from worker.jobs.wakeups import listen
from worker.upkeep import health as looks

NOWHERE = "redis://127.0.0.1:1/0"


@contextlib.asynccontextmanager
async def at_work(world: World, *, redis_url: str = "", sweeps: bool = True) -> AsyncIterator[None]:
    """The worker's own loops, quickened: its sweep, and its ear for wake-ups."""
    loops: list[Any] = []
    if sweeps:
        loops.append(run_periodically(PeriodicTask(name="sweep", round=sweep, pause=0.05), world.context))
    if redis_url:
        loops.append(listen(world.context, redis_url))
    working = asyncio.create_task(run_all(*loops))
    try:
        yield
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        await world.context.tasks.end()


async def reaches(world: World, state: State, *, seconds: float = 30) -> Preview:
    found: Preview | None = None

    async def there() -> Preview | None:
        nonlocal found
        with contextlib.suppress(SQLAlchemyError, OSError, asyncpg.PostgresError):
            found = await world.queries.preview(world.preview)
        return found if found is not None and found.state is state else None

    try:
        return await eventually(there, f"the preview is {state.value}", seconds)
    except AssertionError as error:
        error.add_note(f"it is: {found}")
        raise


async def says(world: World, words: str) -> str:
    """Wait until the preview's reason holds these words."""

    async def said() -> str:
        found = await world.queries.preview(world.preview)
        return found.reason if found is not None and words in found.reason else ""

    return await eventually(said, f"the reason says: {words}", 40)


async def at_once(database: AsyncEngine) -> None:
    """Let the time pass for which a killed worker's lease holds, or a failed attempt pauses."""
    async with database.begin() as connection:
        await connection.exec_driver_sql("UPDATE previews SET retry_at = NULL, lease_expires_at = NULL")


def through(url: str, door: Door) -> str:
    """The same address, through the door."""
    return url.replace(f":{urlsplit(url).port}/", f":{door.port}/")


# Redis


@pytest.fixture
async def redis_door(redis_url: str) -> AsyncIterator[tuple[Door, str]]:
    async with Door(urlsplit(redis_url).port or 0) as door:
        yield door, through(redis_url, door)


async def test_redis_is_emptied_all_the_time_and_nothing_is_lost(
    database: AsyncEngine, tmp_path: Path, redis_url: str
) -> None:
    world = World(database, tmp_path)
    world.context = replace(world.context, queue=open_queue(redis_url))
    emptying = asyncio.create_task(_empty_again_and_again(redis_url))
    try:
        async with at_work(world, redis_url=redis_url):
            for number in range(1, 4):
                world.turn_to(number)
                await world.hint()
                await world.context.queue.wake(world.preview, 1)
            for number in range(1, 4):
                world.turn_to(number)
                await reaches(world, State.READY)
    finally:
        emptying.cancel()
        await world.context.queue.close()


async def _empty_again_and_again(url: str) -> None:
    client: Redis = Redis.from_url(url)
    async with client:
        while True:
            await client.flushdb()
            await asyncio.sleep(0.02)


async def test_redis_goes_away_in_a_deployment_which_goes_on_and_so_do_later_ones(
    database: AsyncEngine, tmp_path: Path, redis_door: tuple[Door, str]
) -> None:
    door, url = redis_door
    world = World(database, tmp_path)
    world.context = replace(world.context, queue=open_queue(url))

    async def shut(_: str) -> None:
        await door.shut()

    world.before = shut
    try:
        async with at_work(world, redis_url=url):
            await world.hint()
            await reaches(world, State.READY)
            await eventually(lambda: _is(world.context.tasks.count("converge") == 0), "it is done")
            deployments = await world.queries.deployments(world.preview)
            assert [one.outcome for one in deployments] == ["ready"], "nothing was interrupted"
            world.turn_to(8)
            await world.hint()
            assert not await world.context.queue.wake(world.preview, 1)
            await reaches(world, State.READY)
    finally:
        await world.context.queue.close()


async def test_wake_ups_are_heard_again_when_redis_is_back(
    database: AsyncEngine, tmp_path: Path, redis_door: tuple[Door, str]
) -> None:
    """Without the sweep, which would find the preview anyway."""
    door, url = redis_door
    world = World(database, tmp_path)
    queue = open_queue(url)
    try:
        async with at_work(world, redis_url=url, sweeps=False):
            await world.hint()
            assert await queue.wake(world.preview, 1)
            await reaches(world, State.READY)
            await door.shut()
            assert not await queue.wake(world.preview, 2)
            await door.open()
            world.turn_to(8)
            await world.hint()
            await eventually(lambda: queue.wake(world.preview, 1), "Redis takes a wake-up")
            await reaches(world, State.READY)
    finally:
        await queue.close()


# previewd's own Postgres


@pytest.fixture
async def own_door(database_url: str) -> AsyncIterator[tuple[Door, AsyncEngine]]:
    """A door to our own database, and an engine that goes through it."""
    async with Door(urlsplit(database_url).port or 0) as door:
        engine = connect(asyncpg_url(SecretStr(through(database_url, door))))
        try:
            yield door, engine
        finally:
            await door.open()
            await engine.dispose()


@pytest.mark.parametrize("how", ["its sessions are ended", "it is out for a while"])
async def test_our_postgres_goes_away_in_a_deployment_and_the_worker_goes_on(
    how: str, own_door: tuple[Door, AsyncEngine], database: AsyncEngine, tmp_path: Path
) -> None:
    door, engine = own_door
    world = World(engine, tmp_path)
    gone = asyncio.Event()

    async def away(name: str) -> None:
        if name != "create_container" or gone.is_set():
            return
        gone.set()
        if how == "it is out for a while":
            await door.shut()
        else:
            door.reset()

    world.before = away
    async with at_work(world):
        await world.hint()
        await gone.wait()
        await eventually(lambda: _is(world.context.tasks.count("converge") == 0), "the deployment ends")
        await door.open()
        await at_once(database)
        await reaches(world, State.READY)
        await eventually(lambda: _is(world.context.tasks.count("converge") == 0), "it is done")
    outcomes = [one.outcome for one in await world.queries.deployments(world.preview)]
    assert outcomes[0] == "ready"
    assert None not in outcomes


async def test_deliveries_are_refused_in_time_while_our_postgres_is_away_and_taken_again(
    own_door: tuple[Door, AsyncEngine], database_url: str, redis_url: str
) -> None:
    door, _ = own_door
    async with (
        web_process(web_settings(through(database_url, door), redis_url)) as web,
        httpx.AsyncClient(base_url=f"http://{web.web}", trust_env=False, timeout=9.5) as client,
    ):
        assert (await deliver(client, payload(), "before")).status_code == 202
        await door.shut()
        refused = await asyncio.gather(*(deliver(client, payload(number=n), f"out-{n}") for n in range(1, 21)))
        assert {answer.status_code for answer in refused} == {503}
        assert (await client.get("/readyz")).json()["status"] == "down"
        await door.open()
        assert (await deliver(client, payload(), "between")).status_code == 202
        door.stall()
        assert (await deliver(client, payload(), "hangs")).status_code == 503
        await door.open()
        assert (await deliver(client, payload(), "after")).status_code == 202
        again = await asyncio.gather(*(deliver(client, payload(number=n), f"out-{n}") for n in range(1, 21)))
        assert {answer.json()["reason"] for answer in again} == {
            f"preview 4211-{n} will be looked at" for n in range(1, 21)
        }


async def test_deliveries_are_refused_while_our_postgres_has_no_connection_left(
    database_url: str, redis_url: str
) -> None:
    async with _few_connections(database_url) as few:
        taken = await asyncpg.connect(few)
        async with (
            web_process(web_settings(few, redis_url)) as web,
            httpx.AsyncClient(base_url=f"http://{web.web}", trust_env=False, timeout=9.5) as client,
        ):
            assert (await deliver(client, payload())).status_code == 503
            await taken.close()

            async def is_taken() -> bool:
                return (await deliver(client, payload())).status_code == 202

            await eventually(is_taken, "a delivery is taken")


@contextlib.asynccontextmanager
async def _few_connections(url: str) -> AsyncIterator[str]:
    """The same database as a role that may connect once. DatabaseLimits hold for nobody who is a superuser."""
    admin = await asyncpg.connect(url)
    try:
        await admin.execute("CREATE ROLE few LOGIN PASSWORD 'few' CONNECTION LIMIT 1")
        await admin.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO few")
        parts = urlsplit(url)
        yield f"postgresql://few:few@{parts.hostname}:{parts.port}{parts.path}"
    finally:
        await admin.execute("DROP OWNED BY few")
        await admin.execute("DROP ROLE few")
        await admin.close()


# The previews' Postgres


@pytest.fixture(scope="module")
def own_servers() -> Iterator[Servers]:
    """Servers that no other module uses: they are restarted, and have few connections."""
    with servers({**CARELESS, "max_connections": "50"}) as started:
        yield started


async def test_the_previews_postgres_is_restarted_in_a_deployment(
    database: AsyncEngine, tmp_path: Path, own_servers: Servers
) -> None:
    world = World(database, tmp_path)
    world.files = tiny(compose=_WITH_DATABASE)
    real = PostgresDatabases(
        own_servers.postgres_url, "127.0.0.1", world.context.settings.instance, DatabaseLimits(connections=2)
    )
    world.context = replace(world.context, databases=real)
    restarted = asyncio.Event()

    async def restart(name: str) -> None:
        if name == "build" and not restarted.is_set():
            restarted.set()
            os.kill(_postmaster(own_servers), signal.SIGINT)

    world.before = restart
    async with at_work(world):
        await world.hint()
        await restarted.wait()
        await eventually(lambda: _is(world.context.tasks.count("converge") == 0), "it noticed")
        await eventually(lambda: _answers(real), "the server is back")
        await at_once(database)
        await reaches(world, State.READY)
        assert await real.names()
        world.pull = replace(world.pull, open=False)
        await world.hint()
        await reaches(world, State.REMOVED)
    assert await real.names() == []


_WITH_DATABASE = """\
services:
  app:
    build: .
    expose: ["8000"]
    environment: {DATABASE_URL: "postgresql://u:p@db:5432/app"}
  db:
    image: postgres:16
"""


def _postmaster(own: Servers) -> int:
    port = urlsplit(own.postgres_url).port
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if child.name() == "postgres" and any(c.laddr.port == port for c in child.net_connections("tcp")):
                parent = child.parent()
                return parent.pid if parent is not None and parent.name() == "postgres" else child.pid
    raise AssertionError("no Postgres of ours runs")


async def test_the_previews_postgres_has_no_connection_left_and_then_has_again(own_servers: Servers) -> None:
    url = own_servers.postgres_url
    databases = PostgresDatabases(url, "127.0.0.1", "previewd", DatabaseLimits(connections=2))
    await eventually(lambda: _answers(databases), "it is up")
    taken: list[Any] = []
    try:
        with contextlib.suppress(asyncpg.TooManyConnectionsError):
            while True:
                taken.append(await asyncpg.connect(url))
        with pytest.raises(Unavailable, match="no connection left"):
            await databases.ping()
        with pytest.raises(Unavailable, match="no connection left"):
            await databases.ensure("previewd_1_1", "password")
    finally:
        for connection in taken:
            await connection.close()
    await eventually(lambda: _answers(databases), "it lets us in again")


async def _answers(databases: PostgresDatabases) -> bool:
    try:
        await databases.ping()
    except Unavailable:
        return False
    return True


# The Docker Engine


class StandIn:
    """An Engine that knows three paths: enough for the client to speak to it."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, object]] = {
            "/_ping": (200, "OK"),
            "/version": (200, {"ApiVersion": "1.41", "Version": "20.10"}),
            "/containers/json": (200, []),
        }

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split()[1].partition("?")[0].removeprefix("/v1.41")
            status, body = self.answers.get(path, (404, {"message": "page not found"}))
            content = json.dumps(body).encode()
            writer.write(
                f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\n"
                f"Content-Length: {len(content)}\r\n\r\n".encode()
                + content
            )
            await writer.drain()
        writer.close()


@pytest.fixture
async def behind_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Door, DockerEngine, StandIn]]:
    """An Engine behind a door, with deadlines that a test can wait for."""
    monkeypatch.setattr(engine_module, "CALL_SECONDS", 1)
    monkeypatch.setattr(engine_module, "PING_SECONDS", 0.5)
    monkeypatch.setattr(breaker, "PROBE_SECONDS", 0.2)
    stand_in = StandIn()
    server = await asyncio.start_unix_server(stand_in.serve, str(tmp_path / "engine.sock"))
    async with server, Door(str(tmp_path / "engine.sock")) as door:
        engine = DockerEngine(f"unix://{door.path}")
        try:
            assert await engine.containers({}) == []
            yield door, engine, stand_in
        finally:
            await door.open()
            await engine.close()


async def test_an_engine_that_hangs_takes_no_more_than_its_own_threads_and_heals(
    behind_door: tuple[Door, DockerEngine, StandIn],
) -> None:
    door, engine, _ = behind_door
    door.stall()
    calls = [asyncio.create_task(engine.containers({})) for _ in range(40)]
    with pytest.raises(Unavailable, match=r"does not answer since .* UTC: a ping is not answered"):
        await engine.ping()
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("engine")]
    assert len(threads) <= engine_module.THREADS
    assert await asyncio.to_thread(lambda: "others go on") == "others go on"
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(one, TemporaryError) for one in ended)
    taken = door.passed
    later = await asyncio.gather(*(engine.containers({}) for _ in range(40)), return_exceptions=True)
    assert all(isinstance(one, Unavailable) for one in later)
    assert door.passed <= taken + 1, "only a ping was sent"
    await door.open()
    assert await eventually(lambda: _lists(engine), "it answers again")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the SDK leaves a cut socket open
@pytest.mark.parametrize("how", ["refuses", "resets", "answers 500"])
async def test_an_engine_that_is_restarted_answers_again(
    how: str, behind_door: tuple[Door, DockerEngine, StandIn]
) -> None:
    door, engine, _ = behind_door
    match how:
        case "refuses":
            await door.shut()
        case "answers 500":
            door.answer(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        case _:
            door.stall()
    call = asyncio.create_task(engine.containers({}))
    if how == "resets":
        before = door.passed
        await eventually(lambda: _is(door.passed > before), "the call is in flight")
        door.reset()
    with pytest.raises(TemporaryError):
        await call
    if how == "resets":
        await door.shut()
    with pytest.raises(Unavailable):
        await engine.ping()
    await door.open()
    assert await eventually(lambda: _lists(engine), "it answers again")


async def test_words_for_no_addresses_are_not_taken_for_what_is_gone_nor_for_a_network_of_others(
    behind_door: tuple[Door, DockerEngine, StandIn],
) -> None:
    _, engine, stand_in = behind_door
    words = "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network"
    stand_in.answers |= {"/networks": (200, []), "/networks/create": (404, {"message": words})}
    with pytest.raises(Unavailable, match="no addresses left"):
        await engine.ensure_network("n", _NETWORK, {})
    stand_in.answers["/networks/create"] = (500, {"message": "mkdir /var/lib/docker/x: no space left on device"})
    with pytest.raises(DiskFull, match="the disk of the Docker Engine"):
        await engine.ensure_network("n", _NETWORK, {})
    stand_in.answers["/containers/create"] = (500, {"message": "mkdir /var/lib/docker/x: no space left on device"})
    with pytest.raises(DiskFull, match="the disk of the Docker Engine"):
        await engine.create_container("c", {})


_NETWORK = IPv4Network("10.213.0.0/27")


async def _lists(engine: DockerEngine) -> bool:
    try:
        return await engine.containers({}) == []
    except TemporaryError:
        return False


async def _is(condition: bool) -> bool:
    return condition


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("the Docker Engine does not answer since 12:00", retry_after=0),
        Unavailable("the Docker Engine has no addresses left for another network", retry_after=0),
        DiskFull("the Docker Engine", "no space left on device", "make room"),
    ],
    ids=lambda error: error.message[:40],
)
async def test_previews_wait_with_the_reason_and_go_on(
    error: Unavailable, database: AsyncEngine, tmp_path: Path
) -> None:
    world = World(database, tmp_path)
    away = True

    async def before(name: str) -> None:
        if away and name == "create_container":
            raise error

    world.before = before
    async with at_work(world):
        await world.hint()
        await says(world, error.message)
        away = False
        await at_once(database)
        preview = await reaches(world, State.READY)
    assert preview.serving_commit is not None
    assert (await world.row()).attempts == 0


# Disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of half a megabyte."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", folder], check=False)
    if mounted.returncode:
        pytest.skip("this machine mounts no tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


async def test_the_disk_of_our_data_is_full_and_then_has_room(database: AsyncEngine, small_disk: Path) -> None:
    world = World(database, small_disk)
    with contextlib.suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * 4096)
    attempts = 0

    async def write(name: str) -> None:
        nonlocal attempts
        if name == "fetch":
            attempts += 1
            (small_disk / "pack").write_bytes(b"y" * 100 * 1024)

    world.before = write
    assert "previewd needs" in looks.disk_fault(small_disk)
    with pytest.raises(DiskFull, match="previewd's data"):
        await Repository(small_disk / "bare.git").create()
    async with at_work(world):
        await world.hint()
        assert "No space left" in await says(world, "no room is left on the disk of previewd's data")
        assert attempts == 1, "it does not try in a loop"
        (small_disk / "filler").unlink()
        await at_once(database)
        await reaches(world, State.READY)


async def test_the_disk_of_our_postgres_is_full_and_then_has_room(database: AsyncEngine, tmp_path: Path) -> None:
    """As Postgres says it: the statement fails, and so does what would record that."""
    world = World(database, tmp_path)
    async with database.begin() as connection:
        for statement in _FULL:
            await connection.exec_driver_sql(statement)
    async with at_work(world):
        await world.hint()
        await eventually(lambda: _is(bool(world.context.tasks._failed)), "the job has failed")
        async with database.begin() as connection:
            await connection.exec_driver_sql("DROP FUNCTION full_disk CASCADE")
        await at_once(database)
        await reaches(world, State.READY)


_FULL = (
    """
    CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$
    """,
    "CREATE TRIGGER full_disk BEFORE INSERT ON transitions FOR EACH ROW EXECUTE FUNCTION full_disk()",
)


# GitHub


async def test_while_github_is_away_nothing_new_runs_and_what_is_certain_is_removed(
    database: AsyncEngine, tmp_path: Path
) -> None:
    world = World(database, tmp_path)
    async with at_work(world):
        await world.hint()
        await reaches(world, State.READY)
        world.forge_is_away = True
        before = len(world.effects)
        world.pull = replace(world.pull, head_commit="b" * 40)
        await world.hint()

        async def postponed() -> bool:
            return (await world.row()).retry_at is not None

        await eventually(postponed, "it waits for GitHub")
        assert len(world.effects) == before
        world.forge_is_away = False
        await at_once(database)

        async def newer() -> bool:
            found = await world.queries.preview(world.preview)
            return found is not None and found.serving_commit == "b" * 40

        await eventually(newer, "the newer commit serves")
        await eventually(lambda: _is(world.context.tasks.count("converge") == 0), "it is done")

        async def away(name: str) -> None:
            world.forge_is_away = True  # the removal has begun: it is certain
            if name == "remove_network":
                world.before = _nothing
                raise Unavailable("the Docker Engine does not answer", retry_after=0)

        world.before = away
        world.pull = replace(world.pull, open=False)
        await world.hint()
        await reaches(world, State.REMOVED)


async def _nothing(_: str) -> None:
    """Let it happen."""


# Who tells


async def test_the_worker_records_what_answers_and_what_does_not(database: AsyncEngine, tmp_path: Path) -> None:
    world = World(database, tmp_path)
    hanging = asyncio.Event()

    async def hang(name: str, _: tuple[object, ...]) -> None:
        if name == "ping":
            await hanging.wait()

    world.context = replace(world.context, queue=open_queue(NOWHERE))
    world.engine.before = hang
    world.forge_is_away = True
    looks_seconds, looks.ANSWER_SECONDS = looks.ANSWER_SECONDS, 0.3
    try:
        await looks.look(world.context)
        found, now = await world.store.health.all()
        away = health.health(found, now, {}).away
        assert {one.name: one.fault for one in away} == {
            health.ENGINE: "it does not answer within 0.3 s",
            health.GITHUB: "GitHub does not answer",
            health.REDIS: "it does not answer",
        }
        since = {one.name: one.since for one in away}
        await looks.look(world.context)
        found, now = await world.store.health.all()
        assert {one.name: one.since for one in health.health(found, now, {}).away} == since
        hanging.set()
        world.forge_is_away = False
        await looks.look(world.context)
        found, now = await world.store.health.all()
        assert [one.name for one in health.health(found, now, {}).away] == [health.REDIS]
    finally:
        looks.ANSWER_SECONDS = looks_seconds
        await world.context.queue.close()


async def test_readyz_dashboard_and_metrics_say_what_is_away_and_that_it_is_back(
    database: AsyncEngine, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    dependencies = World(database, tmp_path).store.health
    async with (
        web_process(web_settings(database_url, redis_url)) as web,
        httpx.AsyncClient(base_url=f"http://{web.web}", trust_env=False, timeout=20) as client,
    ):
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "down")
        assert "none was ever seen" in ready.json()["worker"]

        await dependencies.record({"worker": "", "engine": "hangs at /run/secret.sock"})
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["status"], ready.json()["worker"]) == (200, "degraded", "ok")
        assert "docker info" in ready.json()["engine"]
        assert "secret" not in ready.text, "whoever asks is not signed in"
        assert 'previewd_dependency_up{name="engine"} 0' in (await client.get("/metrics")).text
        assert "hangs at" not in (await client.get("/", headers={"Accept": "text/html"})).text
        await client.post("/login", data={"token": "admin-token"}, headers={"Origin": "http://previewd.localhost:8080"})
        page = (await client.get("/", headers={"Accept": "text/html"})).text
        assert "The Docker Engine is not well" in page
        assert "hangs at /run/secret.sock" in page

        await dependencies.record({"worker": "", "engine": ""})
        assert (await client.get("/readyz")).json()["status"] == "ok"
        assert "is not well" not in (await client.get("/", headers={"Accept": "text/html"})).text
