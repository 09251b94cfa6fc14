"""What a deployment prints, written to Postgres as it comes, with the preview's secrets blanked."""

import asyncio
import contextlib
from collections.abc import Iterable

from orchestrator.errors import AuthorError, PreviewdError
from orchestrator.log import mask_text
from orchestrator.preview import Step
from orchestrator.store import Store

FLUSH_SECONDS = 0.2
"""How late a line may be recorded: one insert takes what came meanwhile."""

MAX_LINES = 50_000
MAX_LINE_LENGTH = 4_000


class Journal:
    def __init__(self, store: Store, deployment: int) -> None:
        self.step = Step.SOURCE
        self._store = store
        self._deployment = deployment
        self._lines: list[tuple[Step, str]] = []
        self._count = 0
        self._secrets: tuple[str, ...] = ()
        self._flusher = asyncio.create_task(self._flush_regularly())

    def conceal(self, secrets: Iterable[str]) -> None:
        """Blank these texts from now on, wherever they appear."""
        self._secrets = tuple(secrets)

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

    async def say(self, line: str) -> None:
        """Add one line of output."""
        self._count += 1
        if self._count < MAX_LINES:
            self._lines.append((self.step, self.clean(line.rstrip())[:MAX_LINE_LENGTH]))
        elif self._count == MAX_LINES:
            self._lines.append((self.step, f"(more than {MAX_LINES:,} lines: what follows is not kept)"))

    async def flush(self) -> None:
        """Write what was said so far."""
        lines, self._lines = self._lines, []
        for step in dict.fromkeys(step for step, _ in lines):
            await self._store.log(self._deployment, step, [line for of, line in lines if of is step])

    async def close(self) -> None:
        self._flusher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._flusher
        await self.flush()

    async def _flush_regularly(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()
