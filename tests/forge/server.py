"""An ASGI application on a free port of this machine, served from a thread until it is stopped."""

import asyncio
import socket
import threading

import uvicorn
from starlette.types import ASGIApp

HOST = "127.0.0.1"
START_SECONDS = 10.0
GRACE_SECONDS = 1
"""Requests that are being answered get this long when the server stops."""


class ServerThread:
    """Owns its port from the start, answers after `serve`, and frees the port with `stop`."""

    def __init__(self, port: int = 0) -> None:
        self._socket = socket.create_server((HOST, port))
        self.url = f"http://{HOST}:{self._socket.getsockname()[1]}"
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def serve(self, app: ASGIApp) -> None:
        """Begin to answer. It comes after the constructor because the application may need to know its address."""
        self._server = _Server(app)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="forge", daemon=True)
        self._thread.start()
        if not self._server.ready.wait(START_SECONDS):
            raise TimeoutError("the forge's server did not start")

    def stop(self) -> None:
        """End the server and wait for its thread."""
        if self._server is not None and self._thread is not None:
            self._server.end()
            self._thread.join()
        self._socket.close()


class _Server(uvicorn.Server):
    """A server that says when it is ready, and ends at once rather than at its next tick: tests start many."""

    def __init__(self, app: ASGIApp) -> None:
        config = uvicorn.Config(
            app,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        super().__init__(config)
        self.ready = threading.Event()
        self._ended = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def end(self) -> None:
        """Leave the main loop. Called from another thread, after `ready`."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._ended.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self.ready.set()

    async def main_loop(self) -> None:
        await self.on_tick(0)  # The first tick makes the Date header, which then stays as it is.
        await self._ended.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
            return
        for server in self.servers:
            server.close()
