"""What is known of a preview's database, kept in its row: what it holds, and what may have to be taken back. Pure.

The worker writes it down before each effect, so that whoever resumes a killed run knows what may have happened.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from orchestrator.preview.names import mark_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
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
class Holding:
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
    undo: Undo | None = None
    discard: str = ""
    """A snapshot that nobody needs any more."""

    @classmethod
    def read(cls, stored: Mapping[str, Any] | None) -> Self | None:
        """From the row; None when there is no database yet."""
        if stored is None:
            return None
        undo = stored["undo"]
        if undo is not None:
            revisions = undo["revisions"]
            undo = Undo(**{**undo, "revisions": None if revisions is None else tuple(revisions)})
        return cls(**{**stored, "undo": undo})

    def stored(self) -> dict[str, Any]:
        """For the row."""
        return asdict(self)

    @property
    def incarnation(self) -> int:
        """The same of the database that containers now find."""
        return mark_of(self.undo.snapshot) if self.undo and self.undo.reset else self.resets

    @property
    def story(self) -> str:
        """What the database that containers now find held at first, for people."""
        return (self.undo and self.undo.origin) or self.origin

    def proven(self) -> Self:
        """What becomes of it when the commit that changed it serves: there is no way back, and none is needed."""
        if self.undo is None:
            return self
        undo = self.undo
        return replace(
            self,
            commit=undo.commit,
            migrations=undo.migrations,
            origin=undo.origin or self.origin,
            resets=self.incarnation,
            undo=None,
            discard=undo.snapshot,
        )

    def taken_back(self) -> Self:
        """What becomes of it when the commit that changed it does not serve."""
        return replace(self, undo=None, discard=self.undo.snapshot if self.undo else self.discard)
