"""Every refusal has a place, what is wrong there and what to write instead, and none repeats a whole file."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import orchestrator.compose
from orchestrator.compose.syntax.dotenv import parse_raw
from orchestrator.compose.syntax.load import load
from orchestrator.preview.errors import ComposeError, Place, brief
from tests.unit.compose.support import service_of, stack_of

PLACE, MESSAGE, REMEDY = range(3)


def _refusals() -> Iterator[tuple[str, ast.Call]]:
    """Each place in the code of the Compose language that makes such an error."""
    for path in sorted(Path(orchestrator.compose.__path__[0]).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("refuse", "ComposeError"):
                yield f"{path.name}:{node.lineno}", node


def test_every_refusal_says_what_to_write_instead() -> None:
    found = dict(_refusals())
    assert len(found) > 100
    short = [where for where, call in found.items() if len(call.args) <= REMEDY]
    assert not short
    empty = [where for where, call in found.items() if ast.unparse(call.args[REMEDY]) in ("''", "None")]
    assert not empty


@pytest.mark.parametrize(
    ("body", "what", "remedy"),
    [
        ("stop_grace_period: 5", "`5` is not a duration", "10s or 1m30s"),
        ("healthcheck: {test: x, retries: many}", "a whole number of 0 or more, and is `many`", "of 0 or more"),
        ("pids_limit: x", "must be a whole number, and is `x`", "Write a whole number, in digits"),
        ("cpu_percent: 101", "from 0 to 100, and is `101`", "from 0 to 100"),
        ("cpus: -1.5", "must be 0 or more, and is `-1.5`", "such as 0.5"),
        ("environment: {A: [1]}", "a string, a number or a boolean", "Write one value"),
    ],
)
def test_numbers_are_refused_with_a_remedy(body: str, what: str, remedy: str) -> None:
    with pytest.raises(ComposeError) as caught:
        service_of(body)
    assert what in caught.value.what
    assert remedy in caught.value.remedy


def test_a_line_of_a_raw_file_is_refused_with_a_remedy() -> None:
    with pytest.raises(ComposeError) as caught:
        parse_raw(b"A=1\nwhat\n", "raw.env")
    assert (caught.value.place.line, caught.value.remedy) == (2, "Write NAME=VALUE, or # before a comment.")


@pytest.mark.parametrize(
    ("character", "what"), [("\0", "a zero byte"), ("\x07", "a control character"), ("\ufffe", "a control character")]
)
def test_what_yaml_allows_nowhere_has_a_line_and_a_column(character: str, what: str) -> None:
    with pytest.raises(ComposeError) as caught:
        load(f"é: 1\nservices:\n  ab: {character}\n".encode(), "compose.yaml")
    assert (caught.value.place.line, caught.value.place.column) == (3, 7)
    assert what in caught.value.what
    assert caught.value.remedy


def test_a_long_value_is_not_told_whole() -> None:
    with pytest.raises(ComposeError) as caught:
        service_of(f"image: '{'A' * 5000}'")
    assert len(caught.value.what) < 120
    assert "…" in caught.value.what
    with pytest.raises(ComposeError) as caught:
        stack_of(f"services: {{a: {{image: x, {'b' * 5000}: 1}}}}")
    assert len(caught.value.what) < 120


@pytest.mark.parametrize("written", ["x" * 60, "two words " * 6])
def test_what_is_short_enough_is_told_whole(written: str) -> None:
    assert brief(f"`{written}` is wrong") == f"`{written}` is wrong"
    assert brief(f"`{written}y` is wrong") != f"`{written}y` is wrong"


def test_the_whole_message_names_the_place() -> None:
    error = ComposeError(Place(file="compose.yaml", line=3, column=5, path="services.a"), "it is wrong", "Do it.")
    assert error.message == "compose.yaml:3:5 services.a: it is wrong"
