"""What is known of previews, as people and programs read it: values that `queries` fills and others show. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self

from orchestrator.preview.state import PreviewId, State, Step

MAX_LENGTH = 500
"""Of one value: a command of the Compose file may be a whole program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WiredForm:
    """In which form a variable was given, and what told so."""

    variable: str
    scheme: str
    why: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WiredValue:
    """One value that leads to the preview's own database. See `orchestrator.compose.database.rewrites.Rewrite`."""

    service: str
    variable: str
    place: str
    before: str | None
    """None where the file does not set it and previewd does."""
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    forms: tuple[WiredForm, ...] = ()
    values: tuple[WiredValue, ...] = ()

    @classmethod
    def read(cls, stored: Mapping[str, Any] | None) -> Self:
        """From the row; nothing is known of deployments that did not come so far."""
        if stored is None:
            return cls()
        return cls(
            forms=tuple(WiredForm(**form) for form in stored["forms"]),
            values=tuple(WiredValue(**value) for value in stored["values"]),
        )

    def stored(self) -> dict[str, Any]:
        """For the row."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What serves, as it was recorded when it began to."""

    upstream: str | None
    """address:port, to which visitors are led; None while they are led nowhere."""
    routed: str
    """name:port of the container that had this address; empty for what began to serve before that was recorded."""
    containers: frozenset[str]
    running: frozenset[str]
    """Those of `containers` that ran then. The others had done their work, or nobody requires them."""

    @property
    def routed_name(self) -> str:
        return self.routed.rpartition(":")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """One preview, as people see it."""

    id: PreviewId
    repository_name: str
    title: str
    author: str
    branch: str
    host: str
    state: State
    reason: str
    commit: str | None
    """The newest commit that was asked to run."""
    serving_commit: str | None
    """The commit that answers under the host, if any does."""
    created_at: datetime
    updated_at: datetime
    waits_for: str | None = None
    """`orchestrator.preview.state.Resource`: what it lacks, while it stands in line."""
    place: int | None = None
    """… and its place among those who lack the same, from 1 on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimes:
    step: Step
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One attempt to bring a commit up."""

    id: int
    generation: int
    commit: str
    outcome: str | None
    """`ready`, `failed`, `superseded`, `interrupted` or `waiting` in line; None while it runs."""
    failed_step: Step | None
    reason: str
    remedy: str
    log_tail: tuple[str, ...]
    notes: tuple[str, ...]
    started_at: datetime
    finished_at: datetime | None
    steps: tuple[StepTimes, ...]
    wiring: Wiring


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    generation: int
    source: State
    target: State
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    id: int
    step: Step
    line: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where the router sends requests for a host."""

    host: str
    state: State
    reason: str
    commit: str | None
    upstream: str | None
    candidate_commit: str | None
    candidate_upstream: str | None
    probe_token: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One preview, or template, as its row has it."""

    preview: PreviewId
    state: State
    reason: str
    commit: str | None
    branch: str
    host: str
    generation: int
    serving: Serving
    steady: bool
    """Whether everything was acted upon, and nobody is at it now. What is under way is left alone."""
    snapshots: frozenset[str] = frozenset()
    """Databases beside its own that it has a use for."""
    untold: str = ""
    """What the forge should have been told of it by now, in words; empty when it knows everything."""
    shown: frozenset[str] = frozenset()
    """Commits of which the forge may show a deployment."""

    @property
    def is_removed(self) -> bool:
        return self.state is State.REMOVED


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """A thing that exists and should not."""

    kind: str
    name: str
    preview: str
    """Whose it was; empty when nothing says so."""
    reason: str
    since: datetime | None
    """When a round first saw it; None when none has yet."""
