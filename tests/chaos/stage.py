"""Where the storm takes place: a whole `previewd up`, a second worker beside it, and a wire to the Engine."""

import asyncio
import os
import signal
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncpg
import psutil
from dotenv import dotenv_values

from orchestrator.adapters.embedded.supervisor import Part, supervise
from orchestrator.runtime.installation import UP_FILE
from tests.chaos.wire import Wire
from tests.forge import Forge
from tests.support.engine import engine_url
from tests.support.installation import Installation

SECOND_WORKER = "worker-2"
WORKERS = ("worker", SECOND_WORKER)
PARTS = (*WORKERS, "web", "redis", "postgres", "previews-postgres", "caddy")
"""Every process that a storm may kill, by the name of its log."""

_AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What a query ends with when its server went away, whatever it was doing."""

PATIENCE_SECONDS = 60.0
"""How long our own Postgres may be away before whoever asks it gives up."""


class Stage(Installation):
    """An installation that is there to be tormented. Whatever is done to it, it ends with the context manager."""

    def __init__(self, forge: Forge, *, workers: int = 2, settings: Mapping[str, str] | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="chaos-")
        self.wire = Wire(engine_url(), Path(self._folder.name) / "engine.sock")
        super().__init__(forge, settings={"DOCKER_HOST": self.wire.url, "LOG_FORMAT": "console", **(settings or {})})
        self._with_second = workers > 1
        self._second: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()
        self._connections: dict[str, Any] = {}
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def __aenter__(self) -> Self:
        await self.wire.open()
        await super().__aenter__()
        if self._with_second:
            self._second = asyncio.create_task(supervise((self._second_worker(),), self._ending, lambda _: None))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for name in PARTS:
            self.signal(name, signal.SIGCONT)  # what is frozen does not end
        for server in list(self._connections):
            self._hang_up(server)
        try:
            self._ending.set()
            if self._second is not None:
                await self._second
        finally:
            try:
                await super().__aexit__(kind, error, traceback)
            finally:
                await self.wire.close()
                self._folder.cleanup()

    def process_of(self, name: str) -> psutil.Process | None:
        """The process of a part, or None while it is not there."""
        parent = psutil.Process() if name == SECOND_WORKER else self._tree()
        with suppress(psutil.Error):
            for child in parent.children() if parent else ():
                with suppress(psutil.Error):
                    if self._is(name, child.cmdline()):
                        return child
        return None

    def signal(self, name: str, number: signal.Signals) -> psutil.Process | None:
        """Send a signal to a part, and return the process that it was; None when it is not there."""
        process = self.process_of(name)
        if process is not None:
            with suppress(psutil.Error):
                process.send_signal(number)
                return process
        return None

    async def rows(self, query: str, *values: object, server: str = "postgres") -> list[Any]:
        """Ask one of the two Postgres servers, for as long as it may take until it is back. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._asking[server]:
            while True:
                try:
                    return list(await (await self._connection(server)).fetch(query, *values, timeout=10))
                except _AWAY:
                    self._hang_up(server)
                    await asyncio.sleep(0.2)
                except BaseException:
                    self._hang_up(server)  # whoever asks next must not get the answer to what was given up
                    raise

    def words_to_hide(self) -> Sequence[str]:
        """Every secret that this installation has: none may be seen anywhere."""
        named = dotenv_values(self.data_dir / UP_FILE, interpolate=False)
        secret = ("ADMIN_TOKEN", "GITHUB_TOKEN", "WEBHOOK_SECRET", "SECRET_KEY")
        found = [value for name, value in named.items() if value and name.endswith(secret)]
        passwords = [
            (value or "").partition("@")[0].rpartition(":")[2] for value in named.values() if "@" in (value or "")
        ]
        return [word for word in (*found, *passwords) if len(word) > 8]

    async def _connection(self, server: str) -> Any:
        """The same for all who ask: they take turns."""
        if server not in self._connections:
            self._connections[server] = await asyncpg.connect(self._url(server), timeout=5)
        return self._connections[server]

    def _hang_up(self, server: str) -> None:
        connection = self._connections.pop(server, None)
        if connection is not None:
            connection.terminate()

    def _url(self, server: str) -> str:
        name = "PREVIEWD_DATABASE_URL" if server == "postgres" else "PREVIEWD_PREVIEWS_DATABASE_URL"
        return str(dotenv_values(self.data_dir / UP_FILE, interpolate=False)[name])

    def _tree(self) -> psutil.Process | None:
        with suppress(psutil.Error):
            return psutil.Process(self.process.pid) if self.process is not None else None
        return None

    def _is(self, name: str, command: Sequence[str]) -> bool:
        match name:
            case "postgres" | "previews-postgres":
                return command[-1:] == [str(self.data_dir.resolve() / name / "data")]
            case "worker" | "worker-2":
                return command[-1:] == ["worker"]
            case "web":
                return command[-1:] in (["webhooks"], ["web"])
            case _:
                return name in Path(command[0] if command else "").name

    def _second_worker(self) -> Part:
        return Part(
            name=SECOND_WORKER,
            argv=(sys.executable, "-m", "worker"),
            env=self.environment | {"PYTHONUNBUFFERED": "1", "PATH": os.environ["PATH"]},
            cwd=self.data_dir,
            log=self.data_dir / "log" / f"{SECOND_WORKER}.log",
        )
