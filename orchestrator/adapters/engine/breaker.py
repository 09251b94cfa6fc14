"""A circuit breaker: after a call that was left unanswered none is sent, until the other side answers a probe.

Without it every preview would hold a thread for as long as a call may take, and find out for itself. It mends itself:
whoever wants to call next has the other side probed, though not more often than every PROBE_SECONDS.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from orchestrator.preview.errors import PreviewdError, Unavailable

PROBE_SECONDS = 5.0


class Breaker:
    """`probe` raises one of our errors unless `what` answers it, and has a short deadline of its own."""

    def __init__(self, what: str, probe: Callable[[], Awaitable[None]]) -> None:
        self._what = what
        self._probe = probe
        self._probing = asyncio.Lock()
        self._doubted = False
        self._silent_since: datetime | None = None
        self._reason = ""
        self._probe_at = 0.0

    async def admit(self) -> None:
        """Return when a call may be sent. Raises what the probe raises, and Unavailable until the next one is due."""
        if not self._doubted:
            return
        async with self._probing:
            if self._doubted and time.monotonic() >= self._probe_at:
                await self.probe()
        self.require()

    def require(self) -> None:
        """The same at once, for a call that has waited for its turn since it was admitted. Raises Unavailable."""
        if self._silent_since is not None:
            raise self._away()

    def doubt(self) -> None:
        """A call was not answered: the next one is sent only when a probe is."""
        self._doubted = True

    async def probe(self) -> None:
        """Ask now. Raises Unavailable, with since when there is no answer."""
        try:
            await self._probe()
        except Unavailable as error:
            self._doubted = True
            self._silent_since = self._silent_since or datetime.now(UTC)
            self._reason = error.message
            self._probe_at = time.monotonic() + PROBE_SECONDS
            raise self._away() from error
        except PreviewdError:
            self._doubted, self._silent_since = False, None  # it answers, and refuses: that is for each call to say
            raise
        self._doubted, self._silent_since = False, None

    def _away(self) -> Unavailable:
        since = f"{self._silent_since:%Y-%m-%d %H:%M:%S} UTC" if self._silent_since else "a moment ago"
        return Unavailable(f"{self._what} does not answer since {since}: {self._reason}", retry_after=PROBE_SECONDS)
