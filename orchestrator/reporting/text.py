"""Words and numbers for people, and printed text made harmless. Pure; time is passed in."""

import re
from datetime import datetime
from typing import assert_never

from orchestrator.preview.state import State

MINUTE, HOUR, DAY = 60, 3600, 86400

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of what is written behind them."""


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
