"""Those who break things at random: workers, servers, the way to the Engine, GitHub. Each mends what it broke."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from random import Random

import psutil
from dotenv import dotenv_values
from redis.asyncio import Redis
from redis.exceptions import RedisError

from orchestrator.runtime.concurrency import in_thread
from orchestrator.runtime.installation import UP_FILE
from tests.chaos.bystander import Bystander
from tests.chaos.resume import Deaths
from tests.chaos.stage import PARTS, WORKERS, Stage
from tests.forge import Forge
from tests.support.installation import ROOT

PAUSE_SECONDS = (3.0, 8.0)
"""Between two torments: at least and at most."""
FREEZE_SECONDS = (15.0, 30.0)
STALL_SECONDS = (5.0, 15.0)
CUT_SECONDS = 3.0
FORGE_SECONDS = 8.0

ENGINE_AWAY_SECONDS = 120.0
"""An Engine that restarts ends every container: until then those that served are to be brought up again."""

_RESTART_ENGINE = (sys.executable, str(ROOT / "deploy" / "machine.py"), "engine-restart")

Torment = Callable[[], Awaitable[None]]


def may_restart_engine() -> bool:
    """Whether the Engine is this run's own: set by `deploy/machine.py run`, or by whoever knows."""
    return os.environ.get("ENGINE_RESTART") == "1"


class Tormentors:
    """All of them. `without` names those that stay at home."""

    def __init__(
        self, stage: Stage, forge: Forge, bystander: Bystander, random: Random, *, without: Collection[str] = ()
    ) -> None:
        self._stage, self._forge, self._bystander, self._random = stage, forge, bystander, random
        self.deaths = Deaths(stage)
        self.counts: Counter[str] = Counter()
        self.diary: list[tuple[float, str]] = []
        """What was done when, in seconds since 1970."""
        everybody: dict[str, tuple[int, Torment]] = {
            "worker killed": (40, self._kill_worker),
            "worker terminated": (8, self._terminate_worker),
            "worker frozen": (6, self._freeze_worker),
            "redis killed": (6, lambda: self._end("redis", signal.SIGKILL)),
            "redis flushed": (8, self._flush),
            "state postgres killed": (4, lambda: self._end("postgres", signal.SIGKILL)),
            "state postgres restarted": (4, lambda: self._end("postgres", signal.SIGINT)),
            "previews postgres killed": (4, lambda: self._end("previews-postgres", signal.SIGKILL)),
            "previews postgres restarted": (4, lambda: self._end("previews-postgres", signal.SIGINT)),
            "web killed": (5, lambda: self._end("web", signal.SIGKILL)),
            "caddy killed": (4, lambda: self._end("caddy", signal.SIGKILL)),
            "engine stalled": (5, self._stall),
            "engine cut off": (5, self._cut),
            "github failing": (8, self._fail_forge),
        }
        if may_restart_engine():
            everybody["engine restarted"] = (2, self._restart_engine)
        self.torments = {name: found for name, found in everybody.items() if name not in without}
        self._under_way: dict[str, asyncio.Task[None]] = {}

    async def keep_tormenting(self) -> None:
        """Break one thing after the other; never returns."""
        while True:
            await asyncio.sleep(self._random.uniform(*PAUSE_SECONDS))
            (name,) = self._random.choices(list(self.torments), [weight for weight, _ in self.torments.values()])
            self.torment(name)

    def torment(self, name: str) -> None:
        """Break this now, unless it is broken already."""
        before = self._under_way.get(name)
        if before is not None and not before.done():
            return
        self.counts[name] += 1
        self.diary.append((time.time(), name))
        self._under_way[name] = asyncio.create_task(self._do(name))

    async def mend(self) -> None:
        """Let everything work again, and wait until it does. Raises what a tormentor could not do."""
        await self.stop()
        for task in self._under_way.values():
            if not task.cancelled():
                task.result()
        for part in PARTS:
            self._stage.signal(part, signal.SIGCONT)
        self._stage.wire.mend()
        self._forge.heal()
        await self._stage.ready()

    async def stop(self) -> None:
        """Break nothing more."""
        for task in self._under_way.values():
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    def meanwhile(self, began: float, seconds: float) -> list[str]:
        """What else was broken in that time, for whoever wonders why something took so long."""
        return [name for at, name in self.diary if began < at < began + seconds]

    async def _do(self, name: str) -> None:
        with suppress(TimeoutError):
            await self.torments[name][1]()

    async def _kill_worker(self) -> None:
        await self.deaths.kill(self._random.choice(WORKERS))

    async def _terminate_worker(self) -> None:
        self._stage.signal(self._random.choice(WORKERS), signal.SIGTERM)

    async def _freeze_worker(self) -> None:
        process = self._stage.signal(self._random.choice(WORKERS), signal.SIGSTOP)
        try:
            await asyncio.sleep(self._random.uniform(*FREEZE_SECONDS))
        finally:
            with suppress(psutil.Error):  # it may have been killed meanwhile
                if process is not None:
                    process.send_signal(signal.SIGCONT)

    async def _end(self, part: str, number: signal.Signals) -> None:
        if part in ("web", "caddy", "postgres"):
            self._bystander.excuse()
        self._stage.signal(part, number)

    async def _flush(self) -> None:
        url = dotenv_values(self._stage.data_dir / UP_FILE, interpolate=False)["PREVIEWD_REDIS_URL"]
        client: Redis = Redis.from_url(str(url))
        with suppress(RedisError, OSError):
            await client.flushall()
        await client.aclose()

    async def _stall(self) -> None:
        self._stage.wire.stall()
        try:
            await asyncio.sleep(self._random.uniform(*STALL_SECONDS))
        finally:
            self._stage.wire.mend()

    async def _cut(self) -> None:
        self._stage.wire.cut()
        try:
            await asyncio.sleep(CUT_SECONDS)
        finally:
            self._stage.wire.mend()

    async def _restart_engine(self) -> None:
        """Whatever cancels us: an Engine that was stopped is started again."""
        self._bystander.excuse(ENGINE_AWAY_SECONDS)
        await in_thread(subprocess.run, _RESTART_ENGINE, check=True, capture_output=True)

    async def _fail_forge(self) -> None:
        match self._random.randrange(5):
            case 0:
                self._forge.fail_next(status=502, count=20)
            case 1:
                self._forge.limit_next(count=10, retry_after=3)
            case 2:
                self._forge.limit_next(count=5)
            case 3:
                self._forge.delay_next(seconds=6, count=8)
            case _:
                self._forge.fail_next(status=502, count=5, path=".git/")
        try:
            await asyncio.sleep(FORGE_SECONDS)
        finally:
            self._forge.heal()
