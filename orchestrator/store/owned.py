"""A preview's row under its lease, as values: what converge and the steps decide by. Made by `Claim.row` only."""

from dataclasses import dataclass, field
from typing import Any, Self

from sqlalchemy import Row

from orchestrator.databases.record import DatabaseRecord
from orchestrator.preview.records import Serving
from orchestrator.preview.state import Resource, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """True when it was read; later only of what nobody but the holder of the lease changes."""

    host: str
    state: State
    reason: str
    commit: str | None
    """The one that was last worked on."""
    attempts: int
    """How often it was tried since somebody last asked for it."""
    is_forced: bool
    """Whether a deployment was asked for though nothing changed, and not made since."""
    reset_is_requested: bool
    """Whether a new database was asked for, and not made since."""
    reset_requested: int
    """The generation with which a new database was last asked for."""
    line_needs: frozenset[Resource]
    """What it is known to need beside what every preview needs."""
    serving: Serving
    serving_commit: str | None
    candidate_commit: str | None
    database: DatabaseRecord | None
    secrets: bytes | None = field(repr=False)
    """Sealed by `store.encryption`."""

    @classmethod
    def read(cls, row: Row[Any]) -> Self:
        """From the row of `previews`."""
        return cls(
            host=row.host,
            state=row.state,
            reason=row.reason,
            commit=row.commit,
            attempts=row.attempts,
            is_forced=row.forced > row.settled,
            reset_is_requested=row.reset_requested > row.settled,
            reset_requested=row.reset_requested,
            line_needs=frozenset(map(Resource, row.line_needs)),
            serving=serving_of(row),
            serving_commit=row.serving_commit,
            candidate_commit=row.candidate_commit,
            database=DatabaseRecord.read(row.database),
            secrets=row.secrets,
        )


def serving_of(row: Row[Any]) -> Serving:
    """What a preview's row says of what serves."""
    return Serving(
        upstream=row.serving_upstream,
        routed=row.serving_routed,
        containers=frozenset(row.serving_containers),
        running=frozenset(row.serving_running),
    )
