"""The web process, put together: the one place that knows all of its parts.

It has no way to the Docker Engine: what it wants done, it writes into Postgres.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import Depends, FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from orchestrator.runtime.health import Status
from orchestrator.runtime.queue import Queue, open_queue
from orchestrator.runtime.settings import Settings, asyncpg_url
from orchestrator.store.changes import Changes
from orchestrator.store.connection import Database, connect
from orchestrator.store.faults import DATABASE_FAULTS
from orchestrator.store.queries import Queries
from orchestrator.store.store import Store
from webhooks import api, metrics
from webhooks.access import Access
from webhooks.dashboard import routes as dashboard_routes
from webhooks.dashboard.rendering import STATIC
from webhooks.dashboard.routes import Dashboard
from webhooks.errors import Faults
from webhooks.metrics import Metrics
from webhooks.readiness import CHECK_SECONDS, Readiness
from webhooks.receiver import receiver
from webhooks.router.router import Router, Table

DESCRIPTION = "Previews of pull requests. Send `Authorization: Bearer` with the admin token."


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """The parts of the web process."""

    settings: Settings
    engine: Database
    store: Store
    queries: Queries
    queue: Queue
    changes: Changes
    metrics: Metrics
    readiness: Readiness
    table: Table
    router: Router
    """The application for the listener that Caddy asks."""
    dashboard: Dashboard

    @classmethod
    def assemble(cls, settings: Settings) -> "Web":
        """Make every part. Nothing is connected yet: the process starts, and says 503, without Postgres."""
        settings.require("database_url", "redis_url")
        engine = connect(asyncpg_url(settings.database_url), pool_size=10, ping=False)
        store, queries, queue = Store.of(engine), Queries(engine), open_queue(settings.redis_url.get_secret_value())
        changes = Changes(settings.database_url.get_secret_value())
        counted, table = Metrics(), Table(queries)
        keys = [key.get_secret_value() for key in settings.secret_key]
        return cls(
            settings=settings,
            engine=engine,
            store=store,
            queries=queries,
            queue=queue,
            changes=changes,
            metrics=counted,
            readiness=Readiness(engine=engine, store=store, queue=queue),
            table=table,
            router=Router(table, queries, counted, settings.domain, keys),
            dashboard=Dashboard.assemble(settings, store, queries, queue, changes),
        )

    @asynccontextmanager
    async def running(self, _: FastAPI) -> AsyncIterator[None]:
        """Listen to Postgres for as long as the process serves."""
        tasks = [asyncio.create_task(self.table.follow(self.changes)), asyncio.create_task(self.changes.run())]
        try:
            yield
        finally:
            self.changes.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.queue.close()
            await self.engine.dispose()


def create_app(settings: Settings) -> FastAPI:
    """The application for GitHub, people and programs. Its parts are in `app.state.web`."""
    web = Web.assemble(settings)
    app = FastAPI(
        title="previewd",
        description=DESCRIPTION,
        lifespan=web.running,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,  # it is served below, to whom it is for
    )
    app.state.web = web
    _include(app, web)
    Faults(dashboard=web.dashboard).install(app)
    return app


def _include(app: FastAPI, web: Web) -> None:
    receives = receiver.Receiver(settings=web.settings, store=web.store, queue=web.queue, metrics=web.metrics)
    operations = api.Api(
        settings=web.settings, store=web.store, queries=web.queries, queue=web.queue, changes=web.changes
    )
    app.include_router(receiver.router(receives))
    access = Access(settings=web.settings, sign_in=web.dashboard.sign_in)
    app.include_router(api.router(operations, access))
    app.include_router(dashboard_routes.router(web.dashboard))
    app.mount("/static", StaticFiles(directory=STATIC))
    _add_checks(app, web, access)
    _add_description(app, web, access)


def _add_description(app: FastAPI, web: Web, access: Access) -> None:
    inside = [Depends(access.with_session_or_token)]

    @app.get("/api/docs", include_in_schema=False, dependencies=inside)
    async def docs() -> Response:
        return web.dashboard.pages.api(app.openapi())

    @app.get("/api/openapi.json", include_in_schema=False, dependencies=inside)
    async def openapi() -> Response:
        return JSONResponse(app.openapi())


def _add_checks(app: FastAPI, web: Web, access: Access) -> None:
    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> Response:
        """The process is alive; nothing else is asked."""
        return JSONResponse({"status": "ok"})

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        """It can do all of its work; what it cannot do is named."""
        found = await web.readiness.look()
        hints = [] if web.settings.github_webhook_secret else [f"{receiver.NO_SECRET}: {receiver.NO_SECRET_REMEDY}"]
        answer = {"status": found.status, **{name: found.says(name) for name in found.known}, "hints": hints}
        down = found.status is Status.DOWN
        return JSONResponse(answer, HTTPStatus.SERVICE_UNAVAILABLE if down else HTTPStatus.OK)

    @app.get("/metrics", include_in_schema=False, dependencies=[Depends(access.from_near_or_with_token)])
    async def exposition() -> Response:
        """Counts only, no names, for whatever watches the machine; who comes through the proxy shows the token."""
        states = None
        with suppress(*DATABASE_FAULTS):
            async with asyncio.timeout(CHECK_SECONDS):
                states = await web.queries.states()
        text = metrics.exposition(web.metrics, states, await web.readiness.look())
        return PlainTextResponse(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)
