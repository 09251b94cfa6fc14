"""One pair of eyes on previewd's own table for all who wait: the newest row of each preview, a few times a second."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from orchestrator.preview.state import State
from tests.chaos.stage import Stage
from tests.chaos.truth import Seen

LOOK_SECONDS = 0.3

_QUERY = """
    SELECT repository, number, state, commit, reason, host, serving_commit, serving_upstream, serving_containers,
           settled >= generation AND (lease_token IS NULL OR lease_expires_at < now()) AS is_settled
    FROM previews WHERE number > 0
"""

Key = tuple[int, int]
"""Repository and number."""


class Watch:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._rows: Mapping[Key, Seen] = {}

    def row(self, key: Key) -> Seen | None:
        """What was seen last of a preview."""
        return self._rows.get(key)

    async def look(self) -> Mapping[Key, Seen]:
        """Look now."""
        rows = await self._stage.rows(_QUERY)
        self._rows = {(row["repository"], row["number"]): _seen(row) for row in rows}
        return self._rows

    async def keep_looking(self) -> None:
        """Look again and again; never returns."""
        while True:
            with suppress(TimeoutError):
                await self.look()
            await asyncio.sleep(LOOK_SECONDS)


def _seen(row: Mapping[str, object]) -> Seen:
    values = {name: row[name] for name in Seen.__slots__}
    values |= {"state": State(str(row["state"])), "serving_containers": tuple(row["serving_containers"])}  # type: ignore[arg-type]
    return Seen(**values)  # type: ignore[arg-type]
