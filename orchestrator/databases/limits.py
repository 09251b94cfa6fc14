"""How large a preview's database may be, and what follows when it is larger. Pure."""

from dataclasses import dataclass
from enum import StrEnum

MIB = 1 << 20

NEAR = 0.8
SHUT = 1.25
"""Shares of the size limit: above the first it is told, above all of it read-only, from the last on it is shut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseLimits:
    """What one preview may use of the server."""

    connections: int = 20
    """(pool_size 5 + max_overflow 5) x 2 workers, SQLAlchemy's and Uvicorn's usual."""
    bytes: int = 2048 * MIB
    """Of its database on disk, indexes and temporary tables included."""
    temp_file_bytes: int = 512 * MIB
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
