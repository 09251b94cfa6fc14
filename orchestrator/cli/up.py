"""`previewd up`: everything on this machine as one supervised tree in DATA_DIR. A composition root.

Servers that no setting names are embedded. The own state, Redis, the web process and the router listen on loopback
only; the previews' Postgres also on the bridge's gateway, where containers reach it, but not for its admin.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from orchestrator.adapters import caddy
from orchestrator.adapters.caddy import Ingress
from orchestrator.adapters.embedded import postgres, programs, redis
from orchestrator.adapters.embedded.postgres import PostgresServer
from orchestrator.adapters.embedded.programs import Program
from orchestrator.adapters.embedded.redis import RedisServer
from orchestrator.adapters.embedded.supervisor import Part, Say, supervise
from orchestrator.runtime.data_dir import locked, passwords, write_private
from orchestrator.runtime.installation import UP_FILE

ANSWER_SECONDS = 5.0
PREVIEWS_CONNECTIONS = 500
"""24 previews with 20 each. What is not connected costs 0.06 MiB (measured on 18), an idle session about 3."""
PREVIEWS_SETTINGS = {"synchronous_commit": "off"}
"""A power failure may take the last half second of previews' writes, never more and never their consistency."""
PASSED_ON = ("PATH", "HOME", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
"""What our own processes need of the machine's environment besides `PREVIEWD_*`."""
NOT_FOR_WEB = ("PREVIEWD_PREVIEWS_DATABASE_URL", "PREVIEWD_DOCKER_HOST")
"""The web process has nothing to do with the previews' server and the Engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What `up` is to run. Empty URLs mean: embed it."""

    data_dir: Path
    database_url: str = ""
    previews_database_url: str = ""
    redis_url: str = ""
    gateway: str
    """The address of the machine at which containers reach it."""
    database_port: int
    previews_database_port: int
    redis_port: int
    ingress: Ingress
    environment: Mapping[str, str]
    """The machine's: `PREVIEWD_*` of it goes to our own processes."""
    web: tuple[str, ...] = (sys.executable, "-m", "orchestrator.cli", "web")
    worker: tuple[str, ...] = (sys.executable, "-m", "orchestrator.cli", "worker")
    migrate: tuple[str, ...] = (sys.executable, "-m", "orchestrator.cli", "migrate")


async def up(plan: Plan, say: Say, on_ready: Callable[[], None] = lambda: None) -> None:
    """Run all of it until SIGINT or SIGTERM comes. Raises OperatorError when a part does not come up."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    with locked(plan.data_dir):
        await supervise(await parts(plan), stop, say, on_ready)


async def parts(plan: Plan) -> tuple[Part, ...]:
    """Every process of the tree, with its files in place. ConfigurationError when something is missing."""
    home = plan.data_dir.resolve()
    servers, urls = await _servers(plan, home)
    environment = _environment(plan, home, urls)
    (home / "log").mkdir(mode=0o700, exist_ok=True)  # what servers and applications print is for the operator only
    write_private(home / UP_FILE, _dotenv(environment))
    caddy_home = home / "caddy"
    caddy.prepare(plan.ingress, caddy_home)
    needed = tuple(server.name for server in servers)
    return (
        *servers,
        _process("migrate", plan.migrate, environment, home, after=needed, once=True),
        _process(
            "web", plan.web, _without(environment, NOT_FOR_WEB), home, after=("migrate",), answers=plan.ingress.web
        ),
        _process("worker", plan.worker, environment, home, after=("migrate",)),
        caddy.part(plan.ingress, await programs.find_caddy(), caddy_home, _log(home, "caddy")),
    )


async def _servers(plan: Plan, home: Path) -> tuple[tuple[Part, ...], dict[str, str]]:
    """The embedded servers, and the settings by which our own processes find them."""
    words = passwords(home / "secrets.json", ("database", "previews_database", "redis"))
    embedded: list[Part] = []
    urls: dict[str, str] = {}
    for setting, server in await _postgres_servers(plan, home, words):
        await postgres.prepare(server)
        embedded.append(postgres.part(server, _log(home, server.name)))
        urls[setting] = server.url
    if not plan.redis_url:
        queue = RedisServer(
            program=_usable(await programs.find_redis(), home), home=home / "redis", port=plan.redis_port,
            password=words["redis"],
        )  # fmt: skip
        await redis.prepare(queue)
        embedded.append(redis.part(queue, _log(home, queue.name)))
        urls["PREVIEWD_REDIS_URL"] = queue.url
    return tuple(embedded), urls


async def _postgres_servers(plan: Plan, home: Path, words: Mapping[str, str]) -> list[tuple[str, PostgresServer]]:
    """Two, so that no preview shares a server with previewd's own state."""
    if plan.database_url and plan.previews_database_url:
        return []
    program = _usable(await programs.find_postgres(), home)
    own = PostgresServer(
        name="postgres", program=program, home=home / "postgres", port=plan.database_port,
        password=words["database"], database="previewd",
    )  # fmt: skip
    previews = PostgresServer(
        name="previews-postgres", program=program, home=home / "previews-postgres", port=plan.previews_database_port,
        password=words["previews_database"], gateways=(plan.gateway,), max_connections=PREVIEWS_CONNECTIONS,
        settings=PREVIEWS_SETTINGS,
    )  # fmt: skip
    wanted = (
        ("PREVIEWD_DATABASE_URL", own, plan.database_url),
        ("PREVIEWD_PREVIEWS_DATABASE_URL", previews, plan.previews_database_url),
    )
    return [(setting, server) for setting, server, url in wanted if not url]


def _usable(program: Program, home: Path) -> Program:
    return programs.readable(program, programs.account(), home / "programs")


def _environment(plan: Plan, home: Path, urls: Mapping[str, str]) -> dict[str, str]:
    given = {
        name: value for name, value in plan.environment.items() if name.startswith("PREVIEWD_") or name in PASSED_ON
    }
    return {"PATH": os.defpath, **given, "PREVIEWD_DATA_DIR": str(home), **urls, "PYTHONUNBUFFERED": "1"}


def _dotenv(environment: Mapping[str, str]) -> str:
    """What the commands need to find this previewd, in the form that they read."""
    ours = {name: value for name, value in environment.items() if name.startswith("PREVIEWD_")}
    quoted = {name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in ours.items()}
    return "".join(f"{name}='{value}'\n" for name, value in sorted(quoted.items()))


def _without(environment: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in names}


def _process(
    name: str, argv: tuple[str, ...], env: Mapping[str, str], home: Path, after: tuple[str, ...], *,
    once: bool = False, answers: str = "",
) -> Part:  # fmt: skip
    """One of our own processes. It works in the present directory, where `.env` is."""
    part = Part(name=name, argv=argv, env=env, cwd=Path.cwd(), log=_log(home, name), after=after, once=once)
    return replace(part, ready=lambda: _healthy(f"http://{answers}/healthz")) if answers else part


async def _healthy(url: str) -> bool:
    async with httpx.AsyncClient(trust_env=False, timeout=ANSWER_SECONDS) as client:
        try:
            return (await client.get(url)).is_success
        except httpx.HTTPError:
            return False


def _log(home: Path, name: str) -> Path:
    return home / "log" / f"{name}.log"
