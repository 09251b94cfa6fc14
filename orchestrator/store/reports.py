"""What the forge was told of each preview, and who tells it now. On the database's clock, as leases are.

Telling is claimed: two workers that tell of one preview at once would each write the first comment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, case, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.preview.state import PreviewId, State
from orchestrator.runtime import fence
from orchestrator.runtime.fence import Fence
from orchestrator.store.conditions import this
from orchestrator.store.connection import autocommit
from orchestrator.store.tables import previews

FINAL = frozenset({State.READY, State.FAILED, State.SLEEPING, State.REMOVED})
"""States in which a preview stays until somebody does something. News of them goes first."""

CLAIM_SECONDS = 60.0
"""How long a silent worker keeps its claim: the time after which another tells what a killed one did not."""

AT_ONCE = 5
"""Previews that one worker tells of at the same time: its writes go one a second, so more would only wait."""


@dataclass(frozen=True, slots=True)
class Said:
    """A deployment at the forge: its id, if one was made that we know of, and what it says."""

    id: int | None
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportClaim:
    """What the forge knows of a preview. Comment and status are hashes of their texts, deployments go by commit."""

    comment_id: int | None
    comment: str | None
    status: str | None
    deployments: Mapping[str, Said]
    attempts: int
    """How often it refused since it was last told everything."""
    fence: Fence = field(compare=False, repr=False)
    """Falls before another worker may claim to tell: who was frozen meanwhile would write a second comment."""


class Reports:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = autocommit(engine)

    async def due(self) -> list[PreviewId]:
        """Whom the forge knows too little of: those whose state is final first, then who waits the longest.

        No more than may be told of at once, beside those who are: a killed worker's claims hold up nobody else.
        """
        query = (
            select(previews.c.repository, previews.c.number)
            .where(is_to_be_told())
            .order_by(case((previews.c.state.in_(FINAL), 0), else_=1), previews.c.updated_at)
            .limit(AT_ONCE)
        )
        async with self._engine.connect() as connection:
            return [PreviewId(row.repository, row.number) for row in await connection.execute(query)]

    async def begin(self, preview: PreviewId) -> ReportClaim | None:
        """Claim to tell of this preview; None while somebody else does, and before it may be told of again."""
        statement = (
            update(previews)
            .where(this(preview), _may_begin())
            .values(reporting_until=func.now() + timedelta(seconds=CLAIM_SECONDS))
            .returning(
                previews.c.comment_id,
                previews.c.reported,
                previews.c.reported_status,
                previews.c.forge_deployments,
                previews.c.report_attempts,
            )
        )
        claim = Fence()
        sent_at = claim.clock()
        async with self._engine.connect() as connection:
            row = (await connection.execute(statement)).one_or_none()
        if row is None:
            return None
        claim.extend(sent_at, CLAIM_SECONDS)
        return ReportClaim(
            fence=claim,
            comment_id=row.comment_id,
            comment=row.reported,
            status=row.reported_status,
            deployments={commit: Said(*said) for commit, said in row.forge_deployments.items()},
            attempts=row.report_attempts,
        )

    async def has_changed(self, preview: PreviewId, updated_at: datetime) -> bool:
        """Whether there is something to tell that is newer than that change."""
        query = select(previews.c.updated_at).where(this(preview))
        async with self._engine.connect() as connection:
            return bool(await connection.scalar(query) != updated_at)

    async def comment(self, preview: PreviewId, comment: int | None, digest: str) -> None:
        """The comment says so now."""
        await self._keep(preview, comment_id=comment, reported=digest)

    async def status(self, preview: PreviewId, digest: str) -> None:
        """The commit status says so now."""
        await self._keep(preview, reported_status=digest)

    async def deployments(self, preview: PreviewId, deployments: Mapping[str, Said]) -> None:
        """These are the deployments that the forge has, or is about to have."""
        stored = {commit: [each.id, each.said] for commit, each in deployments.items()}
        await self._keep(preview, forge_deployments=stored)

    async def end(self, preview: PreviewId, updated_at: datetime) -> None:
        """The forge knows everything as of that change."""
        await self._keep(preview, reported_at=updated_at, report_after=None, report_attempts=0, reporting_until=None)

    async def postpone(self, preview: PreviewId, seconds: float, updated_at: datetime, *, refused: bool) -> None:
        """Tell again in `seconds`, or at once when something changed since `updated_at`."""
        unchanged = previews.c.updated_at == updated_at
        await self._keep(
            preview,
            report_after=case((unchanged, func.now() + timedelta(seconds=seconds)), else_=None),
            report_attempts=previews.c.report_attempts + int(refused),
            reporting_until=None,
        )

    async def comment_deleted(self, repository: int, comment: int) -> None:
        """Somebody deleted this comment. If it is ours it is written anew, but once only until something changes."""
        again = previews.c.comment_rewritten_for.is_distinct_from(previews.c.updated_at)
        async with self._engine.connect() as connection:
            await connection.execute(
                update(previews)
                .where(previews.c.repository == repository, previews.c.comment_id == comment)
                .values(
                    comment_id=None,
                    reported=case((again, None), else_=previews.c.reported),
                    reported_at=case((again, None), else_=previews.c.reported_at),
                    report_after=None,
                    comment_rewritten_for=previews.c.updated_at,
                )
            )

    async def _keep(self, preview: PreviewId, **values: object) -> None:
        fence.require()
        async with self._engine.connect() as connection:
            await connection.execute(update(previews).where(this(preview)).values(**values))


def is_to_be_told() -> ColumnElement[bool]:
    """Of a pull request, the forge knows too little, and it may be told now."""
    return and_(previews.c.number > 0, _is_stale(), _may_begin())


def _is_stale() -> ColumnElement[bool]:
    return or_(previews.c.reported_at.is_(None), previews.c.reported_at < previews.c.updated_at)


def _may_begin() -> ColumnElement[bool]:
    return and_(
        or_(previews.c.report_after.is_(None), previews.c.report_after < func.now()),
        or_(previews.c.reporting_until.is_(None), previews.c.reporting_until < func.now()),
    )
