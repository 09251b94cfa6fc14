"""The shape of the code, held to bounds: short files, short functions, no circles; exceptions have a reason."""

import pytest

from tests.support import shape


@pytest.mark.parametrize(
    ("lengths", "most", "excused"),
    [
        (shape.files(), shape.MOST_FILE_LINES, shape.LONG_FILES),
        (shape.functions(), shape.MOST_FUNCTION_LINES, shape.LONG_FUNCTIONS),
    ],
    ids=["files", "functions"],
)
def test_what_is_longer_than_the_bound_is_named_with_a_reason_and_nothing_else_is(
    lengths: dict[str, int], most: int, excused: dict[str, str]
) -> None:
    longer = {place: lines for place, lines in lengths.items() if lines > most}
    assert {place: lines for place, lines in longer.items() if place not in excused} == {}
    assert set(excused) - set(longer) == set(), "no longer an exception: take it out of tests/support/shape.py"
    assert all(excused.values())


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert shape.circles() == set()
