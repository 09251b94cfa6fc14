"""The rules of the previews' Postgres server: connections, sizes, sessions, and how a database is copied. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

_MIB = 1 << 20

NEAR = 0.8
SHUT = 1.25
"""Shares of the size limit: above the first it is told, above all of it read-only, from the last on it is shut."""

SMALL_BYTES = 64 * _MIB
"""Up to here copying through the write-ahead log is the fastest (measured on 15 and 18: 0.04 s instead of 0.1 s at 8
MiB, even at 64): a copy of files waits for two checkpoints of the whole server. Above, the log would be flooded."""

_CLONE_SINCE = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one preview may use of the server."""

    connections: int = 20
    """(pool_size 5 + max_overflow 5) x 2 workers, SQLAlchemy's and Uvicorn's usual."""
    bytes: int = 2048 * _MIB
    """Of its database on disk, indexes and temporary tables included."""
    temp_file_bytes: int = 512 * _MIB
    """Of each of its sessions, for sorts and hashes that outgrow memory."""
    idle_in_transaction_seconds: float = 600
    transaction_seconds: float = 1800
    """How long a transaction may do nothing, and how long it may last: both hold back VACUUM and keep locks."""


class Fill(StrEnum):
    """How full a database is, and what has been done about it."""

    FINE = "fine"
    NEAR = "near"
    """Told to its people; nothing else yet."""
    READ_ONLY = "read-only"
    """Sessions begin read-only. One that has to delete things may lift that for itself."""
    SHUT = "shut"
    """Nobody connects until it is reset or its limit is raised: a tenant could lift read-only for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSize:
    """One database, against its limit."""

    name: str
    bytes: int
    limit: int

    @property
    def fill(self) -> Fill:
        share = self.bytes / self.limit
        if share >= SHUT:
            return Fill.SHUT
        if share > 1:
            return Fill.READ_ONLY
        return Fill.NEAR if share > NEAR else Fill.FINE


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The server's connections: what it has, what is promised, what is in use."""

    max_connections: int
    reserved: int
    """For superusers, and for previewd itself."""
    granted: Mapping[str, int]
    """The limit of every role that may log in and has one, by name."""
    in_use: Mapping[str, int]
    """Sessions by role, previewd's own and those of roles without a limit included."""

    @property
    def usable(self) -> int:
        return max(0, self.max_connections - self.reserved)

    @property
    def free(self) -> int:
        """What may still be promised; negative when limits were promised by somebody else's arithmetic."""
        return self.usable - sum(self.granted.values())

    def allows(self, role: str, connections: int) -> bool:
        """Whether `role` may have this limit. What it has by now is given back first."""
        return connections <= self.free + self.granted.get(role, 0)

    def refusal(self, connections: int) -> str:
        """The arithmetic, for whoever has to wait."""
        return (
            f"the previews' Postgres has {self.usable} connections to give ({self.max_connections} less "
            f"{self.reserved} in reserve), {sum(self.granted.values())} of them are promised to {len(self.granted)} "
            f"database{'' if len(self.granted) == 1 else 's'}, and this one needs {connections}"
        )


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A database to copy previews' databases from."""

    name: str
    repository: int
    made_of: Mapping[str, str] | None
    """What was said of it when it was finished; None while it is being filled."""
    spare: bool = False
    """Whether a copy lies ready for the next preview."""


def overdue(session: Session, limits: Limits) -> str | None:
    """Why a session must end; None when it may go on. Its own timeouts do not count: a tenant can lift those."""
    if session.state == "idle":
        return None
    if session.state.startswith("idle in transaction") and session.state_seconds > limits.idle_in_transaction_seconds:
        return f"idle in transaction for {session.state_seconds:.0f} s"
    if session.open_seconds > limits.transaction_seconds:
        return f"one transaction or statement for {session.open_seconds:.0f} s"
    return None


def strategy(size: int) -> str:
    """The strategy of CREATE DATABASE that copies `size` bytes the fastest."""
    return "wal_log" if size <= SMALL_BYTES else "file_copy"


def can_clone(major: int) -> bool:
    """Whether the server can have files share their blocks, where the filesystem can (`file_copy_method`)."""
    return major >= _CLONE_SINCE
