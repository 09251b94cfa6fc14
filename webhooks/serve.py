"""Two listeners in one process: one for GitHub, people and programs, one for Caddy's questions."""

import asyncio
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
import uvloop
from uvicorn.config import Config
from uvicorn.server import Server as UvicornServer

from orchestrator.preview.errors import ConfigurationError, OperatorError, PreviewdError
from orchestrator.runtime import log
from orchestrator.runtime.settings import Settings
from webhooks.app import Web, create_app
from webhooks.receiver import receiver

STOP_SECONDS = 3
"""How long open requests may still take once the process is asked to end."""
KEEP_ALIVE_SECONDS = 130
"""Longer than Caddy's two minutes: a connection that we close is one that it may just be about to use."""
BACKLOG = 1024
TICK_SECONDS = 0.5
"""How late a server notices that it is to end, and how old the Date header is at most."""

logger = structlog.get_logger()


class Server(UvicornServer):
    """Leaves the signals to `serve`, which has two of these to end."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        """Uvicorn's own wakes up ten times a second, to see whether it is to end."""
        while not await self.on_tick(0):  # noqa: ASYNC110 - what it looks at is a plain attribute of Uvicorn's
            await asyncio.sleep(TICK_SECONDS)


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigurationError and OperatorError when it cannot begin."""
    app = create_app(settings)
    web: Web = app.state.web
    listeners = (
        (_server(app, lifespan=True), _bind("PREVIEWD_WEB_LISTEN", settings.web_listen)),
        (_server(web.router, lifespan=False), _bind("PREVIEWD_ROUTER_LISTEN", settings.router_listen)),
    )
    _on_signals(web, [server for server, _ in listeners])
    if not settings.github_webhook_secret:
        logger.warning(receiver.NO_SECRET, remedy=receiver.NO_SECRET_REMEDY)
    logger.info("web listens", web=_address(listeners[0][1]), router=_address(listeners[1][1]))
    await asyncio.gather(*(server.serve(sockets=[listener]) for server, listener in listeners))


def main() -> int:
    """The process: its exit code is 0 when it was asked to end."""
    try:
        settings = Settings.load()
        log.configure(settings.log_format)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings))
    except PreviewdError as error:
        print(f"error: {error.message}\n→ {error.remedy}", file=sys.stderr)  # noqa: T201 - whoever started it reads it
        return 1
    return 0


def _server(app: Any, *, lifespan: bool) -> Server:
    config = Config(
        app,
        http="httptools",
        ws="none",
        lifespan="on" if lifespan else "off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    return Server(config)


def _on_signals(web: Web, servers: list[Server]) -> None:
    """End the streams at once: a server waits for open answers, and a stream is one that does not end by itself."""

    def stop() -> None:
        web.changes.close()
        for server in servers:
            server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


def _bind(variable: str, listen: str) -> socket.socket:
    host, separator, port = listen.rpartition(":")
    if not separator or not port.isdecimal():
        raise ConfigurationError(f"{variable}: {listen!r} is no address and port", "write it as 127.0.0.1:8000")
    address = host.strip("[]") or "127.0.0.1"
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, int(port)), family=family, backlog=BACKLOG)
    except OSError as error:
        raise OperatorError(
            f"cannot listen on {listen}: {error.strerror or error}",
            f"end what uses it, or set {variable} to another address",
        ) from None


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"{host}:{port}"
