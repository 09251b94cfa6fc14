"""From the settings to a running tree: what `previewd up` makes up for a newcomer, keeps, and says."""

import asyncio
import json
import os
import sys
from pathlib import Path

from orchestrator.adapters.caddy import Ingress
from orchestrator.adapters.embedded.addresses import free_port
from orchestrator.adapters.engine.engine import DockerEngine
from orchestrator.cli.up import Plan, up
from orchestrator.preview.errors import ConfigurationError, TemporaryError
from orchestrator.runtime.data_dir import passwords, write_private
from orchestrator.runtime.settings import Settings

MADE_UP = {
    "PREVIEWD_SECRET_KEY": "secret_key",
    "PREVIEWD_ADMIN_TOKEN": "admin_token",
    "PREVIEWD_GITHUB_WEBHOOK_SECRET": "github_webhook_secret",
}
"""Secrets that are made, and kept in DATA_DIR, where nobody set them: variable to setting."""

PORTS = ("database", "previews_database", "redis")


def start() -> None:
    """Run everything until SIGINT or SIGTERM. Raises OperatorError when something does not come up."""
    asyncio.run(_start(Settings.load()))


async def _start(settings: Settings) -> None:
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"PREVIEWD_DATA_DIR={settings.data_dir} cannot be a directory: {error.strerror}", "name another one"
        ) from None
    plan = await _plan(settings)
    await up(plan, _say, lambda: _say(_welcome(settings)))


async def _plan(settings: Settings) -> Plan:
    home = settings.data_dir.resolve()
    ports = _kept_ports(home / "ports.json")
    return Plan(
        data_dir=home,
        database_url=settings.database_url.get_secret_value(),
        previews_database_url=settings.previews_database_url.get_secret_value(),
        redis_url=settings.redis_url.get_secret_value(),
        gateway=settings.previews_database_host or await _gateway(settings),
        database_port=ports["database"],
        previews_database_port=ports["previews_database"],
        redis_port=ports["redis"],
        ingress=_ingress(settings),
        environment=os.environ | _made_up(settings, home),
    )


async def _gateway(settings: Settings) -> str:
    engine = DockerEngine(settings.docker_host)
    try:
        return await engine.gateway()
    except TemporaryError as error:
        raise ConfigurationError(
            error.message, "start the Docker Engine, or set PREVIEWD_DOCKER_HOST to where it answers"
        ) from None
    finally:
        await engine.close()


def _ingress(settings: Settings) -> Ingress:
    address, _, port = settings.proxy_listen.rpartition(":")
    return Ingress(
        domain=settings.domain,
        dashboard_host=settings.dashboard_host,
        web=settings.web_listen,
        router=settings.router_listen,
        port=port,
        bind=(address or "0.0.0.0",),  # noqa: S104 - what a bare `:80` means
        preview_subnets=(str(settings.subnet_pool),),
    )


def _made_up(settings: Settings, home: Path) -> dict[str, str]:
    missing = {variable: name for variable, name in MADE_UP.items() if not _is_set(getattr(settings, name))}
    if not missing:
        return {}
    words = passwords(home / "secrets.json", tuple(missing.values()))
    return {variable: words[name] for variable, name in missing.items()}


def _is_set(value: object) -> bool:
    return bool(value.get_secret_value() if hasattr(value, "get_secret_value") else value)


def _kept_ports(file: Path) -> dict[str, int]:
    """The same ports at every start: live previews have the database's in their environment."""
    known: dict[str, int] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    if not known.keys() >= set(PORTS):
        known = {name: free_port("127.0.0.1") for name in PORTS}
        write_private(file, json.dumps(known) + "\n")
    return known


def _welcome(settings: Settings) -> str:
    """What somebody who starts it for the first time needs next."""
    lines = [
        f"previewd is up: {settings.public_url}",
        f"  previews are at {settings.preview_url('*.' + settings.domain)}",
        f"  webhooks go to {settings.public_url.rstrip('/')}/webhooks/github",
    ]
    made = [variable for variable in MADE_UP if not _is_set(getattr(settings, MADE_UP[variable]))]
    if made:
        lines.append(f"  made up, and kept in {settings.data_dir / 'secrets.json'}: {', '.join(made)}")
    if not (settings.github_app_id or _is_set(settings.github_token)):
        lines.append("  no credentials for GitHub yet: set PREVIEWD_GITHUB_TOKEN, or an App's id and key")
    return "\n".join(lines)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
