"""One tree of processes: started in order, restarted when they die, ended together.

`previewd up` describes its servers as parts and hands them to `supervise`. Nothing here knows what a part does:
whether it is up is the part's own `ready` to say. A part never outlives us, even when we are killed outright.
"""

import asyncio
import os
import re
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.adapters.embedded import pdeathsig
from orchestrator.preview.errors import OperatorError

FIRST_DELAY_SECONDS = 0.2
LONGEST_DELAY_SECONDS = 5.0
HEALTHY_AFTER_SECONDS = 10.0
STOP_SECONDS = 7.0
READY_SECONDS = 60.0
POLL_SECONDS = 0.05
KEPT_LOGS = 3
TAIL_LINES = 15

Say = Callable[[str], None]


async def always() -> bool:
    """For parts that are ready as soon as they run."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One process of the tree."""

    name: str
    argv: tuple[str, ...]
    """The program's absolute path, and its arguments: visible to every account, so never a password."""
    env: Mapping[str, str] = field(repr=False)
    """The whole environment: nothing is inherited."""
    cwd: Path
    log: Path
    ready: Callable[[], Awaitable[bool]] = always
    """Asked again and again until it says yes. For a part that runs once, leave it."""
    user: str = ""
    """The account to run as; empty means ours. Another one takes root."""
    after: tuple[str, ...] = ()
    """Names of the parts that must be ready before this one starts, and end after it."""
    stop_signal: signal.Signals = signal.SIGTERM
    once: bool = False
    """It runs to its end, with exit code 0, before what comes after it starts; it is never restarted."""


class PartFailed(OperatorError):
    """A part ended before it was ever ready. `log_tail` holds its last lines, oldest first."""

    def __init__(self, part: Part, reason: str) -> None:
        self.log_tail = tail(part.log)
        shown = "".join(f"\n  {line}" for line in self.log_tail)
        super().__init__(f"{part.name} {reason}{shown}", f"read {part.log}")


async def supervise(
    parts: tuple[Part, ...], stop: asyncio.Event, say: Say, on_ready: Callable[[], None] = lambda: None
) -> None:
    """Start `parts` in order, call `on_ready`, keep them running until `stop` is set, then end them all.

    Raises `PartFailed` when a part does not come up the first time. Whatever ends it, also cancellation, no part
    is left: those that ignore their stop signal are killed after `STOP_SECONDS`.
    """
    runners = {part.name: _Runner(part, say) for part in in_order(parts)}
    stopping = asyncio.create_task(stop.wait())
    try:
        starting = asyncio.create_task(_start_all(runners))
        await _first(starting, stopping)
        if not stop.is_set():
            on_ready()
            await _first(asyncio.create_task(_keep_all(runners)), stopping)
    finally:
        stopping.cancel()
        await asyncio.shield(_end_all(runners))


def in_order(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """The parts with each one behind those it comes after; otherwise as given. ValueError when that cannot be."""
    ordered: list[Part] = []
    waiting = list(parts)
    while waiting:
        placed = {part.name for part in ordered}
        part = next((part for part in waiting if placed.issuperset(part.after)), None)
        if part is None:
            names = ", ".join(part.name for part in waiting)
            raise ValueError(f"these parts wait for each other, or for a part that is not there: {names}")
        ordered.append(part)
        waiting.remove(part)
    return tuple(ordered)


def next_delay(previous: float, ran_seconds: float) -> float:
    """How long to wait before a restart: doubled each time, from the start again after a healthy run."""
    if previous == 0 or ran_seconds >= HEALTHY_AFTER_SECONDS:
        return FIRST_DELAY_SECONDS
    return min(previous * 2, LONGEST_DELAY_SECONDS)


def rotate(log: Path) -> None:
    """Move the log of the last run aside: NAME.log.1 is the newest of those kept."""
    if not log.exists() or log.stat().st_size == 0:
        return
    for number in range(KEPT_LOGS, 1, -1):
        with suppress(FileNotFoundError):
            log.with_name(f"{log.name}.{number - 1}").replace(log.with_name(f"{log.name}.{number}"))
    log.replace(log.with_name(f"{log.name}.1"))


def tail(log: Path, lines: int = TAIL_LINES, start: int = 0) -> tuple[str, ...]:
    """The last lines of a log behind its first `start` octets, oldest first; none when there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(start)
            return tuple(line.decode("utf-8", "replace").rstrip("\n") for line in deque(file, lines))
    except FileNotFoundError:
        return ()


class _Runner:
    """One part's process, over all of its restarts."""

    def __init__(self, part: Part, say: Say) -> None:
        self.part = part
        self._say = say
        self._process: Process | None = None
        self._began_at = 0
        """Where in the log the lines of this run begin."""
        self._told: set[str] = set()
        """Last words that were shown: a part may end of the same cause again and again."""
        self._ended = asyncio.Event()

    async def start(self) -> None:
        """The first start: returns when the part is ready, or has run to its end if it runs once."""
        rotate(self.part.log)
        began = time.monotonic()
        process = await self._launch()
        if self.part.once:
            if await process.wait():
                raise PartFailed(self.part, _how_it_ended(process))
            return
        await self._until_ready(process)
        self._say(f"{self.part.name} is up ({time.monotonic() - began:.1f} s)")

    async def keep(self) -> None:
        """Restart the part whenever it ends; never returns, except for a part that runs once."""
        delay, started = 0.0, time.monotonic()
        while self._process is not None and not self.part.once:
            await self._process.wait()
            _kill_group(self._process)
            ran = time.monotonic() - started
            delay = next_delay(delay, ran)
            self._say(f"{self.part.name} {_how_it_ended(self._process)}: started again in {delay:g} s")
            if ran < HEALTHY_AFTER_SECONDS:
                self._show_last_words()
            await asyncio.sleep(delay)
            started = time.monotonic()
            await self._launch()

    async def end(self, before: list["_Runner"]) -> None:
        """Ask the part to stop once those that need it have ended, and wait for it."""
        for runner in before:
            await runner.wait_until_ended()
        if self._process is not None and self._process.returncode is None:
            _send(self._process, self.part.stop_signal)
            await self._process.wait()
        self._ended.set()

    async def wait_until_ended(self) -> None:
        """Wait for `end` or `kill`."""
        await self._ended.wait()

    async def kill(self) -> None:
        """Kill what the part left in its process group, whether it ended by itself or not."""
        if self._process is not None:
            _kill_group(self._process)
            await self._process.wait()
        self._ended.set()

    def _show_last_words(self) -> None:
        """Once for each cause. Numbers do not count: times and process ids are others each time."""
        words = tail(self.part.log, start=self._began_at)
        cause = re.sub(r"[0-9]+", "", "\n".join(words))
        if cause not in self._told:
            self._told.add(cause)
            for line in words:
                self._say(f"  {line}")
            self._say(f"→ {self.part.log} holds all that it wrote")

    async def _launch(self) -> Process:
        part = self.part
        part.log.parent.mkdir(parents=True, exist_ok=True)
        wrapper = (sys.executable, "-I", "-S", pdeathsig.__file__, str(os.getpid()), part.user)
        with part.log.open("ab") as log:
            self._began_at = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                *wrapper, *part.argv, stdin=DEVNULL, stdout=log, stderr=STDOUT,
                env=dict(part.env), cwd=part.cwd, start_new_session=True,
            )  # fmt: skip
        return self._process

    async def _until_ready(self, process: Process) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not await self.part.ready():
            if process.returncode is not None:
                raise PartFailed(self.part, _how_it_ended(process))
            if time.monotonic() > deadline:
                raise PartFailed(self.part, f"does not answer within {READY_SECONDS:g} s")
            await asyncio.sleep(POLL_SECONDS)
        if process.returncode is not None:  # somebody else answers in its place
            raise PartFailed(self.part, _how_it_ended(process))


async def _start_all(runners: Mapping[str, _Runner]) -> None:
    for runner in runners.values():
        await runner.start()


async def _keep_all(runners: Mapping[str, _Runner]) -> None:
    async with asyncio.TaskGroup() as group:
        for runner in runners.values():
            group.create_task(runner.keep())


async def _end_all(runners: Mapping[str, _Runner]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(STOP_SECONDS), asyncio.TaskGroup() as group:
            for name, runner in runners.items():
                group.create_task(runner.end([r for r in runners.values() if name in r.part.after]))
    for runner in runners.values():
        await runner.kill()


async def _first(work: asyncio.Task[None], stopping: asyncio.Task[bool]) -> None:
    """Wait until `work` is done, and raise what it raises, or until it is time to stop, and cancel it."""
    try:
        await asyncio.wait((work, stopping), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            await work
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait((work,))


def _send(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(number)


def _kill_group(process: Process) -> None:
    """Each part leads a group of its own, which may outlive it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _how_it_ended(process: Process) -> str:
    code = process.returncode or 0
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
