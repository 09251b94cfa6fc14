"""How soon a killed worker's previews are worked on again: seconds from its restart to the next lease."""

import asyncio
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.chaos.stage import Stage

HELD_SECONDS = 2.5
"""A lease that was not renewed for so long was the dead worker's: a living one renews its leases each second."""

LONGEST_SECONDS = 180.0
POLL_SECONDS = 0.2

_A_RENEWAL = timedelta(seconds=0.9)
"""By less than this a lease is not prolonged: the clock of one look may differ from that of the next."""

# Who stands in line, or was put off, waits for something else than a worker: nothing is due.
_LEASES = """
    SELECT repository, number, lease_token, lease_expires_at, state FROM previews
    WHERE lease_token IS NOT NULL AND settled < generation AND (retry_at IS NULL OR retry_at < now())
"""
_ROW = """
    SELECT lease_token, settled < generation AND (retry_at IS NULL OR retry_at < now()) AS is_due FROM previews
    WHERE repository = $1 AND number = $2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """One preview that lost its worker."""

    preview: str
    state: str
    """In which it was when the worker died."""
    worker: str
    died_at: float
    """In seconds since 1970."""
    restart_seconds: float
    """From the death of the worker to its restart."""
    seconds: float
    """From that restart until somebody worked on the preview again; infinite when nobody did."""


class Deaths:
    """Kills workers, and follows what becomes of their work."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.resumes: list[Resume] = []
        self._following: set[asyncio.Task[None]] = set()

    async def kill(self, worker: str) -> bool:
        """Kill a worker outright. False when it is not there."""
        held = await self._leases()
        dead = self._stage.signal(worker, signal.SIGKILL)
        if dead is None:
            return False
        task = asyncio.create_task(self._follow(worker, dead.pid, held, time.time()))
        self._following.add(task)
        task.add_done_callback(self._following.discard)
        return True

    async def all_followed(self) -> None:
        """Wait until everything that lost its worker was worked on again."""
        await asyncio.gather(*self._following)

    async def give_up(self) -> None:
        """Follow nothing any more."""
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)

    async def _follow(self, worker: str, dead: int, held: Mapping[Any, Any], died_at: float) -> None:
        restarted_at = await self._restarted(worker, dead, died_at + LONGEST_SECONDS)
        await asyncio.sleep(max(0.0, died_at + HELD_SECONDS - time.time()))
        now = await self._leases()
        orphans = [key for key, lease in held.items() if key in now and _is_same(lease, now[key])]
        await asyncio.gather(*(self._one(worker, held[key], died_at, restarted_at) for key in orphans))

    async def _one(self, worker: str, lease: Any, died_at: float, restarted_at: float) -> None:
        ended_at = await self._worked_on(lease, died_at + LONGEST_SECONDS)
        self.resumes.append(
            Resume(
                preview=f"{lease['repository']}-{lease['number']}",
                state=lease["state"],
                worker=worker,
                died_at=died_at,
                restart_seconds=restarted_at - died_at,
                seconds=max(0.0, ended_at - min(restarted_at, ended_at)),
            )
        )

    async def _restarted(self, worker: str, dead: int, deadline: float) -> float:
        """When the supervisor had it running again; infinitely late when it never did."""
        while time.time() < deadline:
            process = self._stage.process_of(worker)
            if process is not None and process.pid != dead:
                return time.time()
            await asyncio.sleep(POLL_SECONDS)
        return float("inf")

    async def _worked_on(self, lease: Any, deadline: float) -> float:
        while time.time() < deadline:
            rows = await self._stage.rows(_ROW, lease["repository"], lease["number"])
            if not rows or rows[0]["lease_token"] != lease["lease_token"] or not rows[0]["is_due"]:
                return time.time()
            await asyncio.sleep(POLL_SECONDS)
        return float("inf")

    async def _leases(self) -> dict[tuple[int, int], Any]:
        return {(row["repository"], row["number"]): row for row in await self._stage.rows(_LEASES)}


def _is_same(before: Any, after: Any) -> bool:
    """The same lease, and nobody has renewed it for longer than a living worker takes to do so."""
    expires: datetime = after["lease_expires_at"]
    return bool(before["lease_token"] == after["lease_token"] and expires - before["lease_expires_at"] < _A_RENEWAL)
