"""What previews use of their Postgres server, and what people are told of it. Pure.

The worker's watchdog measures and records it; comment, dashboard, API and commands show it.
"""

from dataclasses import dataclass
from datetime import datetime

from orchestrator.databases.limits import SHUT, DatabaseSize, Fill
from orchestrator.runtime.units import size_told

CROWDED, RELAXED = 0.8, 0.6
"""Shares of its connections: from the first on a preview is told, below the second no more. A pool breathes between."""

ARITHMETIC = "(pool_size + max_overflow) × workers"
"""How many connections an application with SQLAlchemy may open."""

QUIET = (Fill.FINE, False)
"""The level of which nobody has to be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One database, as the watchdog found it. `ended` are its words on the sessions that it ended, if any."""

    bytes: int
    limit_bytes: int
    connections: int
    connection_limit: int
    ended: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseUse:
    """What one preview uses of the server, against its limits."""

    bytes: int
    limit_bytes: int
    connections: int
    connection_limit: int
    is_crowded: bool
    """Whether most of its connections are in use, or were a moment ago."""
    ended: str
    """What the watchdog last ended and why; empty when it never had to."""
    ended_at: datetime | None
    measured_at: datetime

    @property
    def fill(self) -> Fill:
        return DatabaseSize(name="", bytes=self.bytes, limit=self.limit_bytes).fill

    @property
    def size(self) -> str:
        """As in `1.7 GiB of 2 GiB`."""
        return f"{size_told(self.bytes)} of {size_told(self.limit_bytes)}"

    @property
    def told(self) -> str:
        return f"{self.size}, {self.connections} of {self.connection_limit} connections in use: {self.fill.value}"

    @property
    def level(self) -> tuple[Fill, bool]:
        """What the comment speaks of: it is written anew when this changes, not with every measurement."""
        return self.fill, self.is_crowded


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerUse:
    """The connections of the previews' server: what it can give, what is promised, what is open."""

    usable: int
    promised: int
    in_use: int
    databases: int
    """How many databases hold a promise."""
    measured_at: datetime

    @property
    def told(self) -> str:
        return (
            f"{self.promised} of {self.usable} database connections promised, to {self.databases} databases; "
            f"{self.in_use} in use"
        )


def is_crowded(connections: int, limit: int, *, was: bool) -> bool:
    """Whether a preview is told that its connections run out."""
    return connections >= limit * (RELAXED if was else CROWDED)


def size_sentence(use: DatabaseUse) -> str:
    """What the size means for the people of a preview; empty while it means nothing."""
    limit, shut = size_told(use.limit_bytes), size_told(round(use.limit_bytes * SHUT))
    match use.fill:
        case Fill.FINE:
            return ""
        case Fill.NEAR:
            return f"The database takes {use.size}. From {limit} on it is read-only, from {shut} on it is closed."
        case Fill.READ_ONLY:
            return (
                f"The database takes {use.size} and is read-only; from {shut} on it is closed. Delete what is not "
                "needed after `SET default_transaction_read_only = off`, or have the database reset."
            )
        case Fill.SHUT:
            return f"The database takes {use.size} and is closed. Have it reset, or its limit raised."


def connections_sentence(use: DatabaseUse) -> str:
    """What its connections mean for the people of a preview; empty while there are enough."""
    if not use.is_crowded:
        return ""
    return (
        f"{use.connections} of the {use.connection_limit} database connections are in use. The application must stay "
        f"within them: {ARITHMETIC} is at most {use.connection_limit}."
    )
