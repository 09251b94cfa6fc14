"""Composition root of the worker: builds its hands from the settings, and runs arq with them."""

import asyncio
import contextlib
import sys
from typing import Any, cast

import httpx
from arq.worker import Function, Worker, func

from orchestrator import log
from orchestrator.adapters import github
from orchestrator.adapters.engine import DockerEngine
from orchestrator.adapters.git import GitSources
from orchestrator.adapters.github import AppKey, Credentials, GitHub
from orchestrator.adapters.postgres import PostgresDatabases
from orchestrator.adapters.registry_auth import RegistryAuth
from orchestrator.cli.connection import load_settings
from orchestrator.databases import Limits
from orchestrator.errors import PreviewdError
from orchestrator.queue import (
    CONVERGE,
    HEALTH_KEY,
    QUEUE,
    REPORT,
    deserialize,
    open_queue,
    redis_settings,
    serialize,
)
from orchestrator.revision import require_current
from orchestrator.settings import Settings, asyncpg_url
from orchestrator.store import Store, connect
from orchestrator.vault import Vault
from orchestrator.views import Views
from worker import backups, housekeeping, jobs, sweep, watchdog
from worker.context import Hands
from worker.regularly import Chore, regularly
from worker.turns import Turns

CONVERGE_SECONDS = 3600
"""Upper bound of one job. Steps have limits of their own and say which was reached; arq would only cut them off."""

REPORT_SECONDS = 120

CHORES = (
    Chore(name="sweep", round=sweep.sweep, pause=sweep.SWEEP_SECONDS),
    Chore(name="housekeeping", round=housekeeping.keep_house, pause=housekeeping.PAUSE_SECONDS),
    Chore(name="watchdog", round=watchdog.watch, pause=watchdog.WATCH_SECONDS),
    Chore(name="backups", round=backups.back_up, pause=backups.LOOK_SECONDS),
)
REDIS_RETRIES = 20


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
    worker = Worker(
        functions=[
            _function(jobs.converge, CONVERGE, CONVERGE_SECONDS),
            _function(jobs.report, REPORT, REPORT_SECONDS),
        ],
        queue_name=QUEUE,
        redis_settings=redis_settings(settings.redis_url.get_secret_value(), REDIS_RETRIES),
        on_startup=_start(settings),
        on_shutdown=cast("Any", _stop),
        max_jobs=1000,  # what may run at once is bounded by Hands.slots, which teardown does not need
        poll_delay=0.1,
        keep_result=0,
        health_check_interval=10,
        health_check_key=HEALTH_KEY,
        job_serializer=serialize,
        job_deserializer=deserialize,
    )
    worker.run()


@contextlib.asynccontextmanager
async def open_hands(settings: Settings) -> Any:
    """Everything that the worker acts through, closed at the end."""
    database = connect(asyncpg_url(settings.database_url), pool_size=10)
    forge_client = github.open_client(settings.github_api_url)
    engine = DockerEngine(settings.docker_host, RegistryAuth.read(settings.registry_auth))
    queue = open_queue(settings.redis_url.get_secret_value())
    proxy = httpx.AsyncClient(base_url=f"http://{settings.proxy_address or settings.proxy_listen}", timeout=10)
    try:
        await require_current(database)
        yield Hands(
            settings=settings,
            store=Store(database),
            views=Views(database),
            vault=Vault(settings.secret_key),
            queue=queue,
            engine=engine,
            databases=PostgresDatabases(
                settings.previews_database_url.get_secret_value(),
                settings.previews_database_host or await engine.gateway(),
                settings.instance,
                Limits(connections=settings.connections_per_preview, bytes=settings.database_bytes),
            ),
            forge=GitHub(forge_client, _credentials(settings, forge_client)),
            sources=GitSources(settings.data_dir.resolve() / "repositories"),
            proxy=proxy,
            slots=asyncio.Semaphore(settings.max_jobs),
            turns=Turns(settings.max_builds),
        )
    finally:
        await proxy.aclose()
        await queue.close()
        await engine.close()
        await forge_client.aclose()
        await database.dispose()


def _function(job: Any, name: str, seconds: float) -> Function:
    """A job whose every repetition is up to us: arq neither keeps results nor counts tries."""
    return func(job, name=name, timeout=seconds, keep_result=0, max_tries=1_000_000)


def _credentials(settings: Settings, client: httpx.AsyncClient) -> Credentials:
    key = settings.github_private_key.get_secret_value()
    app = AppKey.read(settings.github_app_id, key) if settings.github_app_id else None
    return Credentials(client, settings.github_token.get_secret_value(), app)


def _start(settings: Settings) -> Any:
    async def start(context: dict[Any, Any]) -> None:
        stack = contextlib.AsyncExitStack()
        context["stack"] = stack
        context[jobs.HANDS] = hands = await stack.enter_async_context(open_hands(settings))
        context["regularly"] = [asyncio.create_task(regularly(chore, hands)) for chore in CHORES]

    return start


async def _stop(context: dict[Any, Any]) -> None:
    for task in context["regularly"]:
        task.cancel()
    await context["stack"].aclose()
