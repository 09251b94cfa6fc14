"""A preview's row under its lease: the one function that changes a state, and what else is kept in the row itself."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, func, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.databases.record import DatabaseRecord
from orchestrator.preview.errors import OperatorError
from orchestrator.preview.state import PreviewId, State, may_move
from orchestrator.preview.trust import Pull
from orchestrator.store.conditions import key, notify, this
from orchestrator.store.generations import template_again
from orchestrator.store.leases import Lease
from orchestrator.store.tables import previews, transitions

_ON_ITS_WAY = frozenset({State.QUEUED, State.BUILDING, State.PREPARING, State.STARTING, State.FAILED})
"""States that a postponed attempt puts back into the queue. What is ready or waits stays so: it was not disproven."""

_NOT_IN_LINE = frozenset({State.READY, State.FAILED, State.WAITING, State.REMOVING, State.REMOVED})
"""States in which nobody stands in line, unless it is in line that it waits."""

_OUT_OF_LINE: dict[str, object] = {"line_joined_at": None, "line_needs": [], "waits_for": None, "place": None}


async def advance(
    connection: AsyncConnection, row: Row[Any], target: State, reason: str, values: Mapping[str, object]
) -> None:
    """Move to `target` and record why: the only way in which a state changes. The transaction holds the row's lock."""
    if not may_move(row.state, target):
        raise OperatorError(f"preview {row.repository}-{row.number} cannot go from {row.state} to {target}")
    preview = PreviewId(row.repository, row.number)
    if (row.state, row.reason) != (target, reason):
        await connection.execute(
            insert(transitions).values(
                **key(preview), generation=row.generation, source=row.state, target=target, reason=reason
            )
        )
    left_line = _OUT_OF_LINE if target in _NOT_IN_LINE else {}
    await change(connection, preview, {"state": target, "reason": reason, **left_line, **values})
    if target is State.REMOVED and not preview.is_template:
        await connection.execute(template_again(preview.repository))  # it may have been the last to use it


async def change(connection: AsyncConnection, preview: PreviewId, values: Mapping[str, object]) -> None:
    """Change what people are told: the forge is told again, and open pages and the router hear of it."""
    told_again = {"report_after": None, "report_attempts": 0, "updated_at": func.clock_timestamp()}
    await keep(connection, preview, {**values, **told_again})
    await notify(connection, preview)


async def keep(connection: AsyncConnection, preview: PreviewId, values: Mapping[str, object]) -> None:
    """Change what nobody is told of."""
    await connection.execute(update(previews).where(this(preview)).values(**values))


class ClaimedPreview(Lease):
    """A lease, and what is written under it into the preview's own row."""

    async def refresh(self, pull: Pull) -> None:
        """Take over what the forge says about the pull request."""
        async with self.owned() as (connection, row):
            values = {
                "repository_name": pull.repository_name,
                "title": pull.title,
                "author": pull.author,
                "branch": pull.head_branch,
            }
            if any(getattr(row, name) != value for name, value in values.items()):
                await change(connection, self.preview, values)

    async def advance(self, target: State, reason: str, **values: object) -> None:
        """Move to `target` and record why."""
        async with self.owned() as (connection, row):
            await advance(connection, row, target, reason, values)

    async def settle(self, generation: int) -> None:
        """Note that everything up to `generation` was acted upon."""
        settled = func.greatest(previews.c.settled, generation)
        async with self.owned() as (connection, _):
            await keep(connection, self.preview, {"settled": settled, "attempts": 0, "retry_at": None})

    async def postpone(self, reason: str, seconds: float, *, counts: bool = True) -> int:
        """Try again in `seconds`; returns how many attempts there were, with this one if it `counts`."""
        async with self.owned() as (connection, row):
            if row.state in _ON_ITS_WAY:
                await advance(connection, row, State.QUEUED, reason, {})
            attempts = int(row.attempts) + int(counts)
            retry_at = func.now() + timedelta(seconds=seconds)
            # Without a place: in line nobody waits for it meanwhile.
            await keep(connection, self.preview, {"attempts": attempts, "retry_at": retry_at, "place": None})
        return attempts

    async def keep_secrets(self, sealed: bytes) -> None:
        """Keep the preview's secrets, which the caller has encrypted."""
        async with self.owned() as (connection, _):
            await keep(connection, self.preview, {"secrets": sealed})

    async def keep_database(self, record: DatabaseRecord) -> None:
        """Keep what is known of the preview's database."""
        async with self.owned() as (connection, _):
            await keep(connection, self.preview, {"database": record.stored()})
