"""The gate: asked before every side effect whether this worker may still act, and this commit may still run."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from orchestrator.preview.errors import ForgeUnavailable, Superseded
from orchestrator.preview.trust import Pull, Remove, Run, Verdict, Wait
from orchestrator.runtime import fence
from orchestrator.store.claims import Claim

FACTS_SECONDS = 10.0
"""How old our knowledge of the pull request may be when we act on it: a lost delivery must not let code run."""

AGAIN_SECONDS = 1.0
"""While the forge does not answer, a running step is watched so often."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the forge says about a pull request, and what follows."""

    pull: Pull | None
    verdict: Verdict


class Gate:
    """Stands between one run of one commit and the world. `look` asks the forge, and decides."""

    def __init__(self, claim: Claim, look: Callable[[], Awaitable[Look]], generation: int, commit: str) -> None:
        self._claim = claim
        self._look = look
        self._commit = commit
        self._looked_at = fence.now()
        self.generation = generation
        """The newest generation of which this run is known to be the answer."""

    async def permit(self) -> None:
        """Return when acting is allowed. Raises LeaseLost, Superseded or ForgeUnavailable when it is not."""
        newest = await self._claim.renew()
        if newest > self.generation or fence.now() - self._looked_at > FACTS_SECONDS:
            await self._look_again(newest)

    async def watch(self) -> None:
        """Ask whenever a renewal brings a newer generation; ends by raising as soon as the answer is no."""
        while True:
            newest = await self._claim.newer(self.generation)
            try:
                await self._look_again(newest)
            except ForgeUnavailable:  # what runs may go on; before the next side effect somebody must know
                await asyncio.sleep(AGAIN_SECONDS)

    async def _look_again(self, newest: int) -> None:
        looked_at = fence.now()
        verdict = (await self._look()).verdict
        if verdict != Run(self._commit):
            raise Superseded(_why(verdict))
        if (await self._claim.row()).reset_requested > self.generation:
            raise Superseded("a new database was asked for")
        self.generation = newest
        self._looked_at = looked_at


def _why(verdict: Verdict) -> str:
    match verdict:
        case Run(commit):
            return f"a newer commit was pushed: {commit[:12]}"
        case Wait(reason) | Remove(reason):
            return reason
