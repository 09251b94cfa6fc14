"""Sessions in previews' databases, and which of them have gone on for too long. Pure."""

from dataclasses import dataclass
from datetime import datetime

from orchestrator.databases.limits import DatabaseLimits, DatabaseSize


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session of a preview that is at work, or has a transaction open."""

    pid: int
    role: str
    database: str
    began: datetime
    """With `pid` it names the session: process ids come again."""
    state: str
    """As in pg_stat_activity."""
    state_seconds: float
    open_seconds: float
    """Since its transaction or its statement began, whichever is longer: a procedure commits, and goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedSession:
    """What the watchdog did, and why."""

    role: str
    database: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Policed:
    """What one round of the watchdog found and did."""

    ended: tuple[EndedSession, ...]
    sizes: tuple[DatabaseSize, ...]
    """Of the databases that are in use: previews', and templates that are being filled."""


def overdue(session: Session, limits: DatabaseLimits) -> str | None:
    """Why a session must end; None when it may go on. Its own timeouts do not count: a tenant can lift those."""
    if session.state == "idle":
        return None
    if session.state.startswith("idle in transaction") and session.state_seconds > limits.idle_in_transaction_seconds:
        return f"idle in transaction for {session.state_seconds:.0f} s"
    if session.open_seconds > limits.transaction_seconds:
        return f"one transaction or statement for {session.open_seconds:.0f} s"
    return None
