"""Real servers for tests: Postgres and Redis from the wheels, as `previewd up` runs them, and the web process."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import httpx
import pytest

from orchestrator.adapters.embedded import postgres, programs, redis
from orchestrator.adapters.embedded.addresses import free_port
from orchestrator.adapters.embedded.postgres import PostgresServer
from orchestrator.adapters.embedded.redis import RedisServer
from orchestrator.adapters.embedded.supervisor import Part, supervise
from tests.support.debian_postgres import debian_postgres, libraries
from tests.support.wait import eventually

START_SECONDS = 60
STOP_SECONDS = 30

USUAL: Mapping[str, str] = {}
CARELESS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
"""For tests: nobody misses their data after a power failure."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Servers:
    postgres_url: str
    """Of the administrator, in the database `postgres`."""
    redis_url: str


@contextmanager
def servers(settings: Mapping[str, str] = USUAL) -> Iterator[Servers]:
    """Both servers, in a directory of their own, until the end: also of tests that each have their own event loop."""
    with _running(lambda home: _parts(home, settings)) as found:
        yield found


@contextmanager
def older_postgres(settings: Mapping[str, str] = USUAL) -> Iterator[str]:
    """The distribution's Postgres, by its administrator's URL, until the end."""
    found = debian_postgres()

    async def parts(home: Path) -> tuple[tuple[Part, ...], str]:
        program = programs.readable(found, programs.account(), home / "programs")
        patch.setenv("LD_LIBRARY_PATH", libraries(program))
        server = PostgresServer(
            name="older-postgres", program=program, home=home / "older", port=free_port("127.0.0.1"),
            password="postgres-password", max_connections=200, settings=settings,
        )  # fmt: skip
        await postgres.prepare(server)
        return (postgres.part(server, home / "older.log"),), server.url

    with pytest.MonkeyPatch.context() as patch, _running(parts) as url:
        patch.undo()
        yield url


@contextmanager
def _running(make: Callable[[Path], Awaitable[tuple[tuple[Part, ...], T]]]) -> Iterator[T]:
    # Not one of pytest's directories: those are closed to other accounts, and Postgres runs as one when we are root.
    with tempfile.TemporaryDirectory(prefix="previewd-servers-") as name:
        home = Path(name)
        home.chmod(0o755)
        thread = _Thread(home, make)
        thread.start()
        try:
            yield thread.wait_until_up()
        finally:
            thread.stop()


class _Thread(threading.Thread, Generic[T]):
    """The supervisor's event loop."""

    def __init__(self, home: Path, make: Callable[[Path], Awaitable[tuple[tuple[Part, ...], T]]]) -> None:
        super().__init__(name="servers", daemon=True)
        self._home = home
        self._make = make
        self._up = threading.Event()
        self._found: T | None = None
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            self._error = error
        finally:
            self._up.set()

    def wait_until_up(self) -> T:
        assert self._up.wait(START_SECONDS), "the servers do not come up"
        if self._found is None:
            raise AssertionError("the servers do not come up") from self._error
        return self._found

    def stop(self) -> None:
        if self.is_alive() and self._loop is not None and self._ending is not None:
            self._loop.call_soon_threadsafe(self._ending.set)
        self.join(STOP_SECONDS)

    async def _serve(self) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        parts, found = await self._make(self._home)

        def ready() -> None:
            self._found = found
            self._up.set()

        await supervise(parts, self._ending, print, ready)


async def _parts(home: Path, settings: Mapping[str, str]) -> tuple[tuple[Part, ...], Servers]:
    copies, account = home / "programs", programs.account()
    database = PostgresServer(
        name="postgres",
        program=programs.readable(await programs.find_postgres(), account, copies),
        home=home / "postgres",
        port=free_port("127.0.0.1"),
        password="postgres-password",
        max_connections=200,
        settings=settings,
    )
    queue = RedisServer(
        program=programs.readable(await programs.find_redis(), account, copies),
        home=home / "redis",
        port=free_port("127.0.0.1"),
        password="redis-password",
    )
    await postgres.prepare(database)
    await redis.prepare(queue)
    parts = (postgres.part(database, home / "postgres.log"), redis.part(queue, home / "redis.log"))
    return parts, Servers(postgres_url=database.url, redis_url=queue.url)


class WebProcess:
    """`python -m webhooks` as it really runs, on ports of its own."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.web = f"127.0.0.1:{free_port('127.0.0.1')}"
        self.router = f"127.0.0.1:{free_port('127.0.0.1')}"
        given = {**settings, "WEB_LISTEN": self.web, "ROUTER_LISTEN": self.router}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREVIEWD_")}
        self._environment = inherited | {f"PREVIEWD_{name}": value for name, value in given.items()}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self.process = subprocess.Popen(  # noqa: ASYNC220 - it starts at once
            [sys.executable, "-m", "webhooks"], env=self._environment, stdout=self._log, stderr=self._log
        )
        async with httpx.AsyncClient(base_url=f"http://{self.web}", trust_env=False) as client:

            async def alive() -> bool:
                assert self.process is not None
                assert self.process.poll() is None, self.log()
                try:
                    return (await client.get("/healthz")).is_success
                except httpx.TransportError:
                    return False

            await eventually(alive, "the web process answers")

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read().decode()

    def resident_bytes(self) -> int:
        assert self.process is not None
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    async def end(self, number: int = signal.SIGTERM, seconds: float = STOP_SECONDS) -> int:
        """Ask it to end; the exit code. Killed, and TimeoutExpired raised, when it does not."""
        assert self.process is not None
        process, self.process = self.process, None
        try:
            process.send_signal(number)
            return await asyncio.to_thread(process.wait, seconds)
        finally:
            process.kill()
            process.wait()

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self._log.close()


@asynccontextmanager
async def web_process(settings: Mapping[str, str]) -> AsyncIterator[WebProcess]:
    web = WebProcess(settings)
    try:
        await web.start()
        yield web
    finally:
        web.close()
