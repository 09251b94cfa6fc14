"""A claim on one preview: its lease, and by topic all that may be written under it. A preview has one holder at most.

The worker takes one to converge. A command that acts beside the worker takes one too (`under_claim`): the worker takes
no such preview meanwhile and misses nothing, for what it hears stays recorded. A command that is killed loses the lease
within seconds, as a killed worker does.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.preview.errors import TemporaryError
from orchestrator.preview.state import PreviewId
from orchestrator.runtime import fence
from orchestrator.runtime.concurrency import run_watched
from orchestrator.store.backups import forget_all
from orchestrator.store.conditions import is_due, is_free
from orchestrator.store.deployments import ClaimedDeployments
from orchestrator.store.line import ClaimedPlace
from orchestrator.store.owned import Owned
from orchestrator.store.previews import ClaimedPreview
from orchestrator.store.serving import ClaimedServing
from orchestrator.store.subnets import ClaimedSubnets

PATIENCE_SECONDS = 60.0
"""How long a command waits for the worker that acts on the preview."""

_POLL_SECONDS = 0.5


class Claim(ClaimedPreview):
    """Made by `Claims` only. Whatever reads or writes the row raises LeaseLost when another may act by now."""

    def __init__(self, engine: AsyncEngine, preview: PreviewId, judging: asyncio.Lock) -> None:
        super().__init__(engine, preview)
        self.deployments = ClaimedDeployments(self)
        self.line = ClaimedPlace(self, judging)
        self.serving = ClaimedServing(self)
        self.subnets = ClaimedSubnets(self)

    async def row(self) -> Owned:
        """The preview's row, as it is now."""
        return Owned.read(await self.read())

    async def forget_backups(self) -> None:
        """No backup of the preview is listed any more, and none is taken by itself."""
        async with self.owned() as (connection, _):
            await forget_all(connection, self.preview)


class Claims:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._judging = asyncio.Lock()
        """One at a time of this process waits for the line's lock in Postgres: each who waits holds a connection."""

    async def acquire(self, preview: PreviewId) -> Claim | None:
        """Take the lease, or None while somebody holds it or nothing is to be done."""
        return await self._take(preview, is_due())

    async def borrow(self, preview: PreviewId) -> Claim | None:
        """Take the lease though nothing is to be done, so that nobody else acts; None while somebody holds it."""
        return await self._take(preview, is_free())

    async def _take(self, preview: PreviewId, condition: ColumnElement[bool]) -> Claim | None:
        claim = Claim(self._engine, preview, self._judging)
        return claim if await claim.take(condition) else None


async def under_claim(claims: Claims, preview: PreviewId, work: Callable[[Claim], Awaitable[None]]) -> None:
    """Do `work` while nobody else acts on the preview.

    Raises TemporaryError when somebody does for long, and LeaseLost when the work went on without the lease.
    """
    claim = await _wait_for(claims, preview)

    async def working() -> None:
        await work(claim)

    try:
        with fence.under(claim.fence):
            await run_watched(working(), claim.keep_renewing())
    finally:
        await claim.release()


async def _wait_for(claims: Claims, preview: PreviewId) -> Claim:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (claim := await claims.borrow(preview)) is None:
        if time.monotonic() > deadline:
            raise TemporaryError(
                f"preview {preview} is being deployed, or another command works on it",
                "wait until that is done (`previewd show` says how far it is), and try again",
            )
        await asyncio.sleep(_POLL_SECONDS)
    return claim
