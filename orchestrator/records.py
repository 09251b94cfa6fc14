"""What is known of previews, as people and programs read it: values that `views` fills and others show. Pure."""

from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.preview import PreviewId, State, Step
from orchestrator.wiring import Wiring


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
    """`orchestrator.admission.Resource`: what it lacks, while it stands in line."""
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
    wiring: Wiring = field(default_factory=Wiring)


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
