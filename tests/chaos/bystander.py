"""A preview to which nothing happens, asked all the time: whatever befalls the others, its visitors notice nothing."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field

import httpx

from tests.chaos.stage import Stage

ASK_SECONDS = 0.15

GRACE_SECONDS = 15.0
"""How long an answer may fail to come after the proxy or the router was killed."""


@dataclass(slots=True)
class Bystander:
    """Counts what its visitors got."""

    stage: Stage
    host: str
    answer: str
    asked: int = 0
    excused: int = 0
    """Failures while the proxy, the router or the Engine itself were away."""
    failures: list[str] = field(default_factory=list)
    excused_until: float = 0.0

    def excuse(self, seconds: float = GRACE_SECONDS) -> None:
        """What stands between it and its visitors is about to be killed."""
        self.excused_until = max(self.excused_until, time.monotonic() + seconds)

    async def keep_asking(self) -> None:
        """Never returns."""
        async with httpx.AsyncClient(base_url=str(self.stage.proxy.base_url), trust_env=False, timeout=5) as client:
            while True:
                await self._ask(client)
                await asyncio.sleep(ASK_SECONDS)

    async def _ask(self, client: httpx.AsyncClient) -> None:
        self.asked += 1
        fault = f"no answer at {time.strftime('%X')}"
        with suppress(httpx.HTTPError):
            answer = await client.get("/", headers={"Host": self.host})
            if answer.is_success and answer.text == self.answer:
                return
            fault = f"{answer.status_code} {answer.text[:40]!r} at {time.strftime('%X')}"
            if answer.is_success:
                self.failures.append(f"somebody else's answer: {fault}")  # this nothing excuses
                return
        if time.monotonic() < self.excused_until:
            self.excused += 1
        else:
            self.failures.append(fault)
