"""What the files of variables say; their syntax is held against the real binary in test_differential."""

import pytest

from orchestrator.compose.syntax.dotenv import parse, parse_raw
from orchestrator.preview.errors import ComposeError


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("A=1\nexport B = 2\n# c\n\nC: 3", {"A": "1", "B": "2", "C": "3"}),
        ("A='x $B # y'", {"A": "x $B # y"}),
        ('A="line one\nline two"\nB=1', {"A": "line one\nline two", "B": "1"}),
        ('A="a\\nb\\t\\"c\\" \\$GIVEN"', {"A": 'a\nb\t"c" $GIVEN'}),
        ("A=x # c\nB=x#c\nC=", {"A": "x", "B": "x#c", "C": ""}),
        ("A=$GIVEN\nB=${A}-${NOPE:-d}", {"A": "given", "B": "given-d"}),
        ("GIVEN=mine\nA=$GIVEN", {"GIVEN": "mine", "A": "given"}),
        ("GIVEN\nNOPE\n", {"GIVEN": "given"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
    ],
)
def test_values(text: str, values: dict[str, str]) -> None:
    assert parse(text.encode(), ".env", {"GIVEN": "given"}).values == values


def test_names_without_a_value_are_reported() -> None:
    found = parse(b"A=${NOPE}\nB=${A}x\nC=plain", ".env", {})
    assert found.missing == {"NOPE"}
    assert found.mentioned == {"A": {"NOPE"}, "B": {"A"}}


@pytest.mark.parametrize(
    ("text", "where"),
    [("A=1\nA B=2\n", ".env:2"), ('A="x\n', ".env:1"), ("\n\n=1", ".env:3"), ("A=1\nB=${NOPE:?x}", ".env:2 B")],
)
def test_what_cannot_be_read_is_refused_at_its_line(text: str, where: str) -> None:
    with pytest.raises(ComposeError) as caught:
        parse(text.encode(), ".env", {})
    assert str(caught.value.place) == where


def test_the_raw_format_takes_everything_as_it_is() -> None:
    assert parse_raw(b"# c\nA='x' # $B\n\nB=", "f").values == {"A": "'x' # $B", "B": ""}
    with pytest.raises(ComposeError, match="NAME=VALUE"):
        parse_raw(b"A\n", "f")
