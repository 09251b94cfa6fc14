"""The commands' way to the world beside our own database. A composition root: `previews` itself sees none."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx

from orchestrator.adapters.engine.engine import DockerEngine
from orchestrator.adapters.git.sources import GitSources
from orchestrator.adapters.github.forge import sign_in
from orchestrator.adapters.github.http import open_client
from orchestrator.adapters.postgres import PostgresDatabases
from orchestrator.databases.limits import DatabaseLimits
from orchestrator.reconcile.observe import Reach
from orchestrator.runtime.settings import Settings
from orchestrator.store.queries import Queries
from orchestrator.store.store import Store


@asynccontextmanager
async def reach(settings: Settings, store: Store, queries: Queries) -> AsyncIterator[Reach]:
    """All that a round of the reconciler asks. Raises ConfigurationError when the previews' server is not known."""
    async with AsyncExitStack() as stack:
        engine = DockerEngine(settings.docker_host)
        stack.push_async_callback(engine.close)
        proxy = httpx.AsyncClient(base_url=f"http://{settings.proxy_address or settings.proxy_listen}", trust_env=False)
        stack.push_async_callback(proxy.aclose)
        client = open_client(settings.github_api_url)
        stack.push_async_callback(client.aclose)
        yield Reach(
            settings=settings,
            store=store,
            queries=queries,
            engine=engine,
            databases=databases(settings),
            sources=GitSources(settings.data_dir.resolve() / "repositories"),
            proxy=proxy,
            forge=sign_in(client, settings),
        )


def databases(settings: Settings) -> PostgresDatabases:
    """The previews' Postgres. Raises ConfigurationError when it is not known."""
    settings.require("previews_database_url")
    return PostgresDatabases(
        settings.previews_database_url.get_secret_value(),
        settings.previews_database_host,
        settings.instance,
        DatabaseLimits(connections=settings.connections_per_preview, bytes=settings.database_bytes),
    )
