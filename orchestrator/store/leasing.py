"""Acting on a preview beside the worker: a command takes its lease, keeps it, and gives it back. Who does has no rival.

The worker takes no such preview meanwhile and misses nothing: what it hears stays recorded. A command that is killed
loses the lease within seconds, as a killed worker does.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from orchestrator.preview.errors import TemporaryError
from orchestrator.preview.state import PreviewId
from orchestrator.runtime import fence
from orchestrator.runtime.concurrency import run_watched
from orchestrator.store.store import Lease, Store

PATIENCE_SECONDS = 60.0
"""How long a command waits for the worker that acts on the preview."""

_RENEW_SECONDS = 1.0
_POLL_SECONDS = 0.5


async def with_lease(store: Store, preview: PreviewId, work: Callable[[Lease], Awaitable[None]]) -> None:
    """Do `work` while nobody else acts on the preview.

    Raises TemporaryError when somebody does for long, and LeaseLost when the work went on without the lease.
    """
    lease = await _borrow(store, preview)

    async def working() -> None:
        await work(lease)

    try:
        with fence.under(lease.fence):
            await run_watched(working(), _keep(store, lease))
    finally:
        await store.release(lease)


async def _borrow(store: Store, preview: PreviewId) -> Lease:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (lease := await store.borrow(preview)) is None:
        if time.monotonic() > deadline:
            raise TemporaryError(
                f"preview {preview} is being deployed, or another command works on it",
                "wait until that is done (`previewd show` says how far it is), and try again",
            )
        await asyncio.sleep(_POLL_SECONDS)
    return lease


async def _keep(store: Store, lease: Lease) -> None:
    while True:
        await asyncio.sleep(_RENEW_SECONDS)
        await store.keep(lease)
