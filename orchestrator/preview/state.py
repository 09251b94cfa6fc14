"""What a preview is: its identity, its states, and how it may move between them. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self


@dataclass(frozen=True, slots=True, order=True)
class PreviewId:
    """One pull request of one repository. The repository's number survives renames and transfers; its name does not."""

    repository: int
    number: int

    def __str__(self) -> str:
        return f"{self.repository}-{self.number}"

    @property
    def is_template(self) -> bool:
        """Whether it stands for what a base branch makes of a database, and for no pull request: those begin at 1."""
        return self.number == 0

    @property
    def fits(self) -> bool:
        """Whether a row can have its numbers: Postgres calls any other a wrong query, not an unknown preview."""
        return 0 <= self.repository < 1 << 63 and 0 <= self.number < 1 << 31

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the form that `str` writes; raise ValueError for any other."""
        repository, separator, number = text.partition("-")
        if not (separator and repository.isdecimal() and number.isdecimal()):
            message = f"not a preview id: {text!r} (it looks like 812345-7)"
            raise ValueError(message)
        return cls(int(repository), int(number))


class State(StrEnum):
    """Where a preview stands. README draws it; a test holds the drawing against TRANSITIONS."""

    QUEUED = "queued"
    """Recorded; a worker will take it."""
    BUILDING = "building"
    """The commit is fetched and its images are built."""
    PREPARING = "preparing"
    """Its database and its variables are made."""
    STARTING = "starting"
    """Its containers start and its health path is asked."""
    READY = "ready"
    """The newest commit was proven to answer, and serves."""
    WAITING = "waiting"
    """It may not run now; the reason says what would change that."""
    FAILED = "failed"
    """A step failed; the reason says which and why. An older commit may still serve."""
    SLEEPING = "sleeping"
    """Reserved, nothing sets it: stopped for want of visitors, until the next one wakes it."""
    REMOVING = "removing"
    """Everything that it owns is being removed."""
    REMOVED = "removed"
    """Nothing is left but its history."""


_UNDER_WAY = {State.QUEUED, State.WAITING, State.FAILED, State.REMOVING}
"""Any state of a live preview may become one of these: a push, a verdict, a fault and a close come at any time."""

TRANSITIONS: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.BUILDING, State.READY, State.WAITING, State.FAILED, State.REMOVING}),
    State.BUILDING: frozenset({State.PREPARING} | _UNDER_WAY),
    State.PREPARING: frozenset({State.STARTING} | _UNDER_WAY),
    State.STARTING: frozenset({State.READY} | _UNDER_WAY),
    State.READY: frozenset({State.SLEEPING} | _UNDER_WAY),
    State.WAITING: frozenset({State.QUEUED, State.REMOVING}),
    State.FAILED: frozenset({State.QUEUED, State.WAITING, State.REMOVING}),
    State.SLEEPING: frozenset({State.QUEUED, State.READY, State.WAITING, State.REMOVING}),
    State.REMOVING: frozenset({State.REMOVED, State.FAILED}),
    State.REMOVED: frozenset({State.QUEUED, State.REMOVING}),
}
"""Every allowed move. A reopened pull request starts again from REMOVED."""


def may_move(current: State, target: State) -> bool:
    """Say whether a preview may go from `current` to `target`; staying where it is always is allowed."""
    return current is target or target in TRANSITIONS[current]


class Step(StrEnum):
    """The steps of a deployment, in the order in which they run, and the one that undoes them."""

    SOURCE = "source"
    BUILD = "build"
    DATABASE = "database"
    ENVIRONMENT = "environment"
    LAUNCH = "launch"
    PROBE = "probe"
    TEARDOWN = "teardown"


STATE_DURING: dict[Step, State] = {
    Step.SOURCE: State.BUILDING,
    Step.BUILD: State.BUILDING,
    Step.DATABASE: State.PREPARING,
    Step.ENVIRONMENT: State.PREPARING,
    Step.LAUNCH: State.STARTING,
    Step.PROBE: State.STARTING,
    Step.TEARDOWN: State.REMOVING,
}


class Resource(StrEnum):
    """What a preview may have to wait for. Of several the first here is told: a slot is free again the soonest."""

    DISK = "disk"
    MEMORY = "memory"
    PREVIEWS = "previews"
    NETWORKS = "networks"
    CONNECTIONS = "connections"
    SLOT = "slot"
