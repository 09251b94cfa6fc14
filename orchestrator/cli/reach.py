"""The commands' way to the Engine and the previews' Postgres. A composition root: `commands` itself sees no adapter."""

from orchestrator.adapters.engine import DockerEngine
from orchestrator.adapters.postgres import PostgresDatabases
from orchestrator.databases import Limits
from orchestrator.leaks import Leak, find
from orchestrator.settings import Settings
from orchestrator.views import Views


async def leaks(settings: Settings, views: Views) -> list[Leak]:
    """What exists and should not. Raises ConfigurationError when the previews' server is not known."""
    engine = DockerEngine(settings.docker_host)
    try:
        return await find(engine, databases(settings), views, settings.instance)
    finally:
        await engine.close()


def databases(settings: Settings) -> PostgresDatabases:
    """The previews' Postgres. Raises ConfigurationError when it is not known."""
    settings.require("previews_database_url")
    return PostgresDatabases(
        settings.previews_database_url.get_secret_value(),
        settings.previews_database_host,
        settings.instance,
        Limits(connections=settings.connections_per_preview, bytes=settings.database_bytes),
    )
