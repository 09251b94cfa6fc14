"""What serves a preview's host, and the candidate that only a token reaches until it is proven."""

from collections.abc import Iterable

from orchestrator.databases.record import DatabaseRecord
from orchestrator.preview.state import State
from orchestrator.store.leases import Lease
from orchestrator.store.previews import advance, change, keep

_NO_CANDIDATE: dict[str, object] = {
    "candidate_commit": None,
    "candidate_upstream": None,
    "candidate_images": [],
    "probe_token": None,
}
_NOT_SERVING: dict[str, object] = {
    "serving_commit": None,
    "serving_upstream": None,
    "serving_routed": "",
    "serving_containers": [],
    "serving_running": [],
    "serving_images": [],
}


class ClaimedServing:
    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    async def use_images(self, images: Iterable[str]) -> None:
        """Note which images the candidate is about to need, before the first of them is looked for or built."""
        async with self._lease.owned() as (connection, _):
            await keep(connection, self._lease.preview, {"candidate_images": sorted(set(images))})

    async def set_candidate(self, commit: str, upstream: str, token: str) -> None:
        """Let whoever shows `token` reach `upstream` under the preview's host; everybody else stays where they are."""
        values = {"candidate_commit": commit, "candidate_upstream": upstream, "probe_token": token}
        async with self._lease.owned() as (connection, _):
            await change(connection, self._lease.preview, values)

    async def clear_candidate(self) -> None:
        """Nobody reaches the candidate any more, and it needs its images no more."""
        async with self._lease.owned() as (connection, row):
            if row.probe_token is not None or row.candidate_images:
                await change(connection, self._lease.preview, _NO_CANDIDATE)

    async def promote(
        self, containers: Iterable[str], reason: str, *, running: Iterable[str] = (), routed: str = ""
    ) -> None:
        """Let the candidate serve everybody, give up its rollback, and call the preview ready: all or nothing.

        For `running` and `routed` see `orchestrator.preview.records.Serving`.
        """
        async with self._lease.owned() as (connection, row):
            record = DatabaseRecord.read(row.database)
            values = _NO_CANDIDATE | {
                "database": record and record.proven().stored(),
                "serving_commit": row.candidate_commit,
                "serving_upstream": row.candidate_upstream,
                "serving_routed": routed,
                "serving_containers": list(containers),
                "serving_running": list(running),
                "serving_images": row.candidate_images,
            }
            await advance(connection, row, State.READY, reason, values)

    async def unroute(self) -> None:
        """Let the host lead nowhere."""
        async with self._lease.owned() as (connection, _):
            await change(connection, self._lease.preview, _NO_CANDIDATE | _NOT_SERVING)

    async def hide(self) -> None:
        """Lead nobody to what serves, which is down or elsewhere. It stays recorded, to be brought up again."""
        async with self._lease.owned() as (connection, row):
            if row.serving_upstream is not None:
                await change(connection, self._lease.preview, {"serving_upstream": None})

    async def show(self, upstream: str) -> None:
        """Lead visitors to what serves, at the address that it has now."""
        async with self._lease.owned() as (connection, _):
            await change(connection, self._lease.preview, {"serving_upstream": upstream})
