"""Composition root of the worker: builds its context from the settings, and works until it is told to stop.

The worker needs Postgres to know what to do. Whatever else is away, Redis too, it stays and goes on with the rest.
"""

import asyncio
import contextlib
import signal
import ssl
import sys
from collections.abc import AsyncIterator

import httpx

from orchestrator.adapters.engine.engine import DockerEngine
from orchestrator.adapters.engine.registry_auth import RegistryAuth
from orchestrator.adapters.git.sources import GitSources
from orchestrator.adapters.github.forge import sign_in
from orchestrator.adapters.github.http import open_client
from orchestrator.adapters.postgres import PostgresDatabases
from orchestrator.databases.limits import DatabaseLimits
from orchestrator.preview.errors import OperatorError, PreviewdError, TemporaryError
from orchestrator.runtime import health, log
from orchestrator.runtime.concurrency import run_all, run_watched
from orchestrator.runtime.installation import load_settings
from orchestrator.runtime.queue import open_queue
from orchestrator.runtime.settings import Settings, asyncpg_url
from orchestrator.store.connection import Database, connect
from orchestrator.store.encryption import Encryption
from orchestrator.store.faults import DATABASE_FAULTS
from orchestrator.store.queries import Queries
from orchestrator.store.revision import require_current
from orchestrator.store.store import Store
from worker.context.build_slots import BuildSlots
from worker.context.context import WorkerContext
from worker.context.machine import WatchedMachine
from worker.context.tasks import Tasks
from worker.jobs import kinds, sweep
from worker.jobs.periodic import PeriodicTask, run_periodically
from worker.jobs.wakeups import listen
from worker.upkeep import backups, housekeeping, rounds, watchdog
from worker.upkeep import health as _health

PERIODIC_TASKS = (
    PeriodicTask(name="health", round=_health.look, pause=health.LOOK_SECONDS),
    PeriodicTask(name="sweep", round=sweep.sweep, pause=sweep.SWEEP_SECONDS),
    PeriodicTask(name="reconcile", round=rounds.reconcile, pause=rounds.PAUSE_SECONDS),
    PeriodicTask(name="housekeeping", round=housekeeping.keep_house, pause=housekeeping.PAUSE_SECONDS),
    PeriodicTask(name="room", round=housekeeping.make_room, pause=housekeeping.ROOM_SECONDS),
    PeriodicTask(name="watchdog", round=watchdog.watch, pause=watchdog.WATCH_SECONDS),
    PeriodicTask(name="backups", round=backups.back_up, pause=backups.LOOK_SECONDS),
)


def main() -> int:
    """The process: 0 when it was told to stop, 1 when it could not start."""
    try:
        run(load_settings())
    except PreviewdError as error:
        sys.stderr.write(f"error: {error.message}\n→ {error.remedy}\n")
        return 1
    return 0


def run(settings: Settings) -> None:
    """Run the worker until it is told to stop. Raises ConfigurationError when it cannot start."""
    settings.require("database_url", "previews_database_url", "redis_url", "secret_key")
    log.configure(settings.log_format)
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    ending = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    await run_watched(_until(ending), _work(settings))


async def _work(settings: Settings) -> None:
    """Everything at once, until cancelled; then whatever runs gives its leases back."""
    async with open_context(settings) as context:
        hearing = (listen(context, settings.redis_url.get_secret_value()), rounds.listen(context))
        await run_all(*(run_periodically(task, context) for task in PERIODIC_TASKS), *hearing, _end_jobs(context))


async def _end_jobs(context: WorkerContext) -> None:
    """Have the jobs give their leases back as soon as we are cancelled: another may be in a thread for a minute."""
    try:
        await asyncio.Event().wait()
    finally:
        await context.tasks.end()


async def _until(ending: asyncio.Event) -> None:
    await ending.wait()


@contextlib.asynccontextmanager
async def open_context(settings: Settings) -> AsyncIterator[WorkerContext]:
    """Everything that the worker acts through, closed at the end."""
    database = connect(asyncpg_url(settings.database_url), pool_size=10)
    forge_client = open_client(settings.github_api_url)
    engine = DockerEngine(settings.docker_host, RegistryAuth.read(settings.registry_auth))
    queue = open_queue(settings.redis_url.get_secret_value())
    plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # Caddy is asked over HTTP: no certificates are loaded for it
    address = settings.proxy_address or settings.proxy_listen
    proxy = httpx.AsyncClient(base_url=f"http://{address}", timeout=10, verify=plain)
    try:
        await _require_database(database)
        store = Store.of(database)
        yield WorkerContext(
            settings=settings,
            store=store,
            queries=Queries(database),
            encryption=Encryption(settings.secret_key),
            queue=queue,
            engine=engine,
            databases=PostgresDatabases(
                settings.previews_database_url.get_secret_value(),
                settings.previews_database_host or await _gateway(engine, store),
                settings.instance,
                DatabaseLimits(connections=settings.connections_per_preview, bytes=settings.database_bytes),
            ),
            forge=sign_in(forge_client, settings),
            sources=GitSources(settings.data_dir.resolve() / "repositories"),
            proxy=proxy,
            build_slots=BuildSlots(settings.max_builds),
            tasks=Tasks(kinds.most(settings)),
            machine=WatchedMachine.of(settings),
        )
    finally:
        await proxy.aclose()
        await queue.close()
        await engine.close()
        await forge_client.aclose()
        await database.dispose()


async def _require_database(database: Database) -> None:
    """Without our own Postgres there is nothing to do: whoever started us reads why, and starts us again."""
    try:
        await require_current(database)
    except DATABASE_FAULTS as error:
        words = str(error).partition("\n")[0] or type(error).__name__
        message = f"previewd's own Postgres does not answer: {words}"
        raise OperatorError(message, health.NEEDS[health.POSTGRES].remedy) from error


async def _gateway(engine: DockerEngine, store: Store) -> str:
    """Where containers reach this machine. Only the Engine knows: while it is away, say so and ask again."""
    while True:
        try:
            return await engine.gateway()
        except TemporaryError as error:
            await store.health.record({health.WORKER: "", health.ENGINE: error.message})
        await asyncio.sleep(health.LOOK_SECONDS)
