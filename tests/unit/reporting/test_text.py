"""Words and numbers for people."""

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.preview.state import State
from orchestrator.reporting.text import age, clean, duration, tone

START = datetime(2026, 11, 21, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "just now"),
        (59, "just now"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (7200, "2 h ago"),
        (200000, "2 d ago"),
    ],
)
def test_ages(seconds: float, text: str) -> None:
    assert age(START, at(seconds)) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (61, "1 min 1 s"), (3660, "1 h 1 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("a\tb", "a\tb"),
        ("gone\r\x08\x00", "gone"),
        ("\u202egnp.exe", "gnp.exe"),
        ("<b>", "<b>"),
    ],
    ids=repr,
)
def test_printed_text_is_cleaned(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_every_state_has_a_colour() -> None:
    assert {tone(state) for state in State} == {"good", "bad", "wait", "calm", "busy", "gone"}
