"""States and ids; the drawing in README is held against the table."""

import re
from pathlib import Path

import pytest

from orchestrator.preview.state import TRANSITIONS, PreviewId, State, may_move

README = Path(__file__).parents[3] / "README.md"


def test_every_state_has_its_moves() -> None:
    assert set(TRANSITIONS) == set(State)


def test_a_live_preview_may_always_be_removed() -> None:
    assert all(may_move(state, State.REMOVING) for state in State)


def test_ready_is_reached_only_from_a_proof() -> None:
    ways = {state for state in State if State.READY in TRANSITIONS[state]}
    assert ways == {State.STARTING, State.SLEEPING, State.QUEUED}


def test_the_drawing_in_the_readme_shows_the_table() -> None:
    drawn = set(re.findall(r"^\s+(\w+) --> (\w+)", README.read_text(), re.MULTILINE))
    table = {(source.value, target.value) for source, targets in TRANSITIONS.items() for target in targets}
    assert drawn == table


def test_ids_read_what_they_write() -> None:
    assert PreviewId.parse(str(PreviewId(812345, 7))) == PreviewId(812345, 7)


@pytest.mark.parametrize("text", ["", "7", "a-7", "7-b", "-7", "1-2-3", "١-٢x"])
def test_other_texts_are_no_ids(text: str) -> None:
    with pytest.raises(ValueError, match="not a preview id"):
        PreviewId.parse(text)
