"""What a deployment prints, written to Postgres as it comes, with the preview's secrets blanked."""

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Iterable

from orchestrator.preview.errors import AuthorError, LeaseLost, PreviewdError
from orchestrator.preview.state import Step
from orchestrator.runtime.log import mask_text
from orchestrator.store.deployments import Logs
from orchestrator.store.faults import DATABASE_FAULTS

FLUSH_SECONDS = 0.2
"""How late a line may be recorded: one insert takes what came meanwhile."""

MAX_OCTETS = 4 << 20
"""What is kept of one deployment's output: its beginning as it comes, and of the rest the end."""
END_LINES = 200
MAX_LINE_LENGTH = 4_000
TAIL_LINES = 30
"""Lines that a failure shows."""


class Journal:
    def __init__(self, logs: Logs, deployment: int) -> None:
        self.step = Step.SOURCE
        self._logs = logs
        self._deployment = deployment
        self._lines: list[tuple[Step, str]] = []
        self._left = MAX_OCTETS
        self._end: deque[tuple[Step, str]] = deque(maxlen=END_LINES)
        self._cut = 0
        self._last: deque[str] = deque(maxlen=TAIL_LINES)
        self._secrets: tuple[str, ...] = ()
        self._flushing, self._closing = asyncio.Lock(), asyncio.Event()
        self._flusher = asyncio.create_task(self._flush_regularly())

    def conceal(self, secrets: Iterable[str]) -> None:
        """Blank these texts too from now on, wherever they appear; the longest first, for one may hold another."""
        self._secrets = tuple(sorted({*self._secrets, *filter(None, secrets)}, key=len, reverse=True))

    def clean(self, line: str) -> str:
        """Blank what is secret in a line that people will read."""
        for secret in self._secrets:
            line = line.replace(secret, "…")
        return mask_text(line)

    def conceal_in(self, error: PreviewdError) -> None:
        """Blank what is secret in an error that people will read: it may quote a value that the file was given."""
        error.message, error.remedy = self.clean(error.message), self.clean(error.remedy)
        if isinstance(error, AuthorError):
            error.log_tail = tuple(map(self.clean, error.log_tail))

    @property
    def tail(self) -> tuple[str, ...]:
        """The last lines that were said, oldest first."""
        return tuple(self._last)

    async def say(self, line: str) -> None:
        """Add one line of output. What comes after MAX_OCTETS waits for the end, of which the last lines are kept."""
        kept = self.clean(line.rstrip())[:MAX_LINE_LENGTH]
        self._last.append(kept)
        self._left -= len(kept.encode(errors="replace")) + 1
        if self._left >= 0:
            self._lines.append((self.step, kept))
            return
        if not self._cut:
            self._lines.append((self.step, f"(more than {MAX_OCTETS >> 20} MiB: the end follows when this is over)"))
        self._cut += 1
        self._end.append((self.step, kept))

    async def flush(self) -> None:
        """Write what was said so far. What cannot be written is kept for the next time."""
        async with self._flushing:
            while self._lines:
                step, said = next(itertools.groupby(self._lines, key=lambda each: each[0]))
                lines = [line for _, line in said]
                await self._logs.append(self._deployment, step, lines)
                del self._lines[: len(lines)]

    async def close(self) -> None:
        self._closing.set()
        await self._flusher
        if left_out := self._cut - len(self._end):
            self._lines.append((self._end[0][0], f"({left_out:,} lines are not kept)"))
        self._lines += self._end
        self._end.clear()
        await self.flush()

    async def _flush_regularly(self) -> None:
        """Postgres may be away for a moment: what was said meanwhile is written when it is back."""
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._closing.wait()
            with contextlib.suppress(*DATABASE_FAULTS, LeaseLost):  # whoever closes us hears of it
                await self.flush()
