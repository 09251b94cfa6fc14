"""What the templates show, made from what is read of the store: words, colours, bars. Pure; time is passed in."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from orchestrator.databases.limits import NEAR
from orchestrator.preview.records import Deployment, LogLine, Preview, StepTimes
from orchestrator.preview.state import State, Step
from orchestrator.reporting.text import clean, duration, tone

SMALLEST_BAR = 0.6
"""Per cent of the width: what is narrower cannot be seen."""

_BUILD_LINES = (
    ("begins", re.compile(r"#\d+ \[[^\]]+\]")),
    ("bad", re.compile(r"#\d+ ERROR: ")),
    ("wait", re.compile(r"#\d+ WARN: ")),
    ("soft", re.compile(r"#\d+ (CACHED|DONE \d+\.\ds)$")),
)
"""How the lines look in which a build says what its steps do; the rest is what they print."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A step on the time line of its deployment. Offset and width are per cent of the whole."""

    name: str
    offset: float
    width: float
    seconds: str
    running: bool
    failed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A part of a limit, as a bar."""

    percent: float
    tone: str


def share(part: float, limit: float) -> Share:
    """How much of a limit is used; never wider than the bar."""
    used = part / limit if limit else 0.0
    return Share(percent=round(min(max(used * 100, SMALLEST_BAR), 100), 1), tone="bad" if used >= NEAR else "good")


def count(previews: Iterable[Preview]) -> list[tuple[str, State, int]]:
    """How many previews there are in each state, as (tone, state, count), in the order of the states."""
    counts = dict.fromkeys(State, 0)
    for preview in previews:
        counts[preview.state] += 1
    return [(tone(state), state, number) for state, number in counts.items() if number]


def outcome_tone(outcome: str | None) -> str:
    """The colour in which a deployment's end is shown; one that runs is busy."""
    return {None: "busy", "ready": "good", "failed": "bad"}.get(outcome, "gone")


def bars(deployment: Deployment, now: datetime) -> list[Bar]:
    """The deployment's steps, in the order in which they began."""
    end = deployment.finished_at or now
    whole = max((end - deployment.started_at).total_seconds(), 0.001)
    return [_bar(step, deployment, end, whole) for step in deployment.steps]


def _bar(step: StepTimes, deployment: Deployment, end: datetime, whole: float) -> Bar:
    seconds = max(((step.finished_at or end) - step.started_at).total_seconds(), 0)
    offset = min(max((step.started_at - deployment.started_at).total_seconds() / whole * 100, 0), 100 - SMALLEST_BAR)
    return Bar(
        name=step.step.value,
        offset=round(offset, 2),
        width=round(max(min(seconds / whole * 100, 100 - offset), SMALLEST_BAR), 2),
        seconds=duration(seconds),
        running=step.finished_at is None and deployment.outcome is None,
        failed=deployment.failed_step is step.step,
    )


def took(deployment: Deployment, now: datetime) -> str:
    """How long a deployment took, or has taken so far."""
    return duration(((deployment.finished_at or now) - deployment.started_at).total_seconds())


def blocks(lines: Iterable[LogLine]) -> list[tuple[str, str, str]]:
    """Log lines as (step, text, tone), fit to be shown."""
    cleaned = [(line.step, clean(line.line)) for line in lines]
    return [(step.value, text, _line_tone(step, text)) for step, text in cleaned]


def _line_tone(step: Step, text: str) -> str:
    """The look of a log line: where a step of a build begins and ends is seen at a glance."""
    found = (tone for tone, form in _BUILD_LINES if form.match(text))
    return next(found, "") if step is Step.BUILD else ""


def forge_web(api_url: str) -> str:
    """Where people read what the forge's API serves: GitHub's own API has a host for itself, others a path."""
    parts = urlsplit(api_url)
    return "https://github.com" if parts.hostname == "api.github.com" else f"{parts.scheme}://{parts.netloc}"
