"""What is known of a preview's database, kept in its row: what it holds, and what may have to be taken back. Pure.

The worker writes it down before each effect, so that whoever resumes a killed run knows what may have happened.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from orchestrator.preview.names import mark_of

_STORED_AS = "undo"
"""The key of a record's rollback in its row: earlier versions wrote it so, and may run beside this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """How to go back to what the serving commit had, while another one changes the database."""

    commit: str
    """The one that changes it."""
    snapshot: str
    revisions: tuple[str, ...] | None = None
    """Where the database was; None when that could not be known."""
    reset: str = ""
    """Why the database is put away for a new one; empty when its data is kept."""
    done: bool = False
    """Whether the snapshot is made, and the new database is in its place."""
    migrations: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseRecord:
    """The database of one preview."""

    commit: str
    """The last commit whose containers were started on it."""
    migrations: Mapping[str, str] = field(default_factory=dict)
    """Path to digest of that commit's migrations."""
    origin: str = ""
    """What it held at first, for people."""
    resets: int = 0
    """Sets it apart from each database that was here before it; 0 is the first.

    Containers that worked on an earlier one have done nothing for this one: it is part of what they are. It is no
    count, which would come twice when our own state is restored.
    """
    rollback: Rollback | None = None
    discard: str = ""
    """A snapshot that nobody needs any more."""

    @classmethod
    def read(cls, stored: Mapping[str, Any] | None) -> Self | None:
        """From the row; None when there is no database yet."""
        if stored is None:
            return None
        rollback = stored[_STORED_AS]
        if rollback is not None:
            revisions = rollback["revisions"]
            rollback = Rollback(**{**rollback, "revisions": None if revisions is None else tuple(revisions)})
        return cls(**{name: value for name, value in stored.items() if name != _STORED_AS}, rollback=rollback)

    def stored(self) -> dict[str, Any]:
        """For the row."""
        values = asdict(self)
        values[_STORED_AS] = values.pop("rollback")
        return values

    @property
    def incarnation(self) -> int:
        """The same of the database that containers now find."""
        return mark_of(self.rollback.snapshot) if self.rollback and self.rollback.reset else self.resets

    @property
    def story(self) -> str:
        """What the database that containers now find held at first, for people."""
        return (self.rollback and self.rollback.origin) or self.origin

    def proven(self) -> Self:
        """What becomes of it when the commit that changed it serves: there is no way back, and none is needed."""
        if self.rollback is None:
            return self
        rollback = self.rollback
        return replace(
            self,
            commit=rollback.commit,
            migrations=rollback.migrations,
            origin=rollback.origin or self.origin,
            resets=self.incarnation,
            rollback=None,
            discard=rollback.snapshot,
        )

    def taken_back(self) -> Self:
        """What becomes of it when the commit that changed it does not serve."""
        return replace(self, rollback=None, discard=self.rollback.snapshot if self.rollback else self.discard)
