"""What the templates show, made from what the views read: words, colours, bars. Pure; time is passed in."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never
from urllib.parse import urlsplit

from orchestrator.databases import NEAR
from orchestrator.preview import State, Step
from orchestrator.records import Deployment, LogLine, StepTimes

MINUTE, HOUR, DAY = 60, 3600, 86400
SMALLEST_BAR = 0.6
"""Per cent of the width: what is narrower cannot be seen."""

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of what is written behind them."""

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


def tone(state: State) -> str:
    """The colour in which a state is shown."""
    match state:
        case State.READY:
            return "good"
        case State.FAILED:
            return "bad"
        case State.WAITING:
            return "wait"
        case State.SLEEPING:
            return "calm"
        case State.QUEUED | State.BUILDING | State.PREPARING | State.STARTING:
            return "busy"
        case State.REMOVING | State.REMOVED:
            return "gone"
        case _:
            assert_never(state)


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


def duration(seconds: float) -> str:
    """A length of time, as short as it is still useful."""
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), MINUTE)
    if minutes < MINUTE:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def age(then: datetime, now: datetime) -> str:
    """How long ago something was. The script on the page keeps it true."""
    seconds = max((now - then).total_seconds(), 0)
    if seconds < MINUTE:
        return "just now"
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= unit:
            return f"{int(seconds // unit)} {name} ago"
    raise AssertionError(seconds)


def short(commit: str | None) -> str:
    """A commit as people quote it."""
    return (commit or "")[:7]


def clean(text: str) -> str:
    """Printed text without colours, cursor movements and other control characters; tabs stay."""
    return _CONTROL.sub("", _ANSI.sub("", text))


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
