"""Every form of `$…`, from an explicit map."""

import pytest

from orchestrator.compose.syntax.interpolate import interpolated, substitute
from orchestrator.compose.syntax.load import load
from orchestrator.preview.errors import ComposeError, Place

PLACE = Place(file="f", line=3)
VARIABLES = {"SET": "value", "EMPTY": "", "DOLLAR": "$SET"}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("$SET", "value"),
        ("${SET}", "value"),
        ("a${SET}b", "avalueb"),
        ("$SET-b", "value-b"),
        ("$NOPE", ""),
        ("${NOPE:-d}", "d"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${NOPE-d}", "d"),
        ("${SET:+x}", "x"),
        ("${EMPTY:+x}", ""),
        ("${EMPTY+x}", "x"),
        ("${NOPE+x}", ""),
        ("${SET:?no}", "value"),
        ("${EMPTY?no}", ""),
        ("${NOPE:-${SET}}", "value"),
        ("${NOPE:-${NOPE:-${SET}}}", "value"),
        ("${NOPE:-a}b}", "ab}"),
        ("$$SET", "$SET"),
        ("$$$SET", "$value"),
        ("${NOPE:-$$}", "$"),
        ("$", "$"),
        ("$1", "$1"),
        ("a$ b", "a$ b"),
        ("$DOLLAR", "$SET"),
        ("", ""),
    ],
)
def test_forms(template: str, text: str) -> None:
    assert substitute(template, VARIABLES, PLACE).text == text


@pytest.mark.parametrize("template", ["${", "${}", "${1}", "${SET", "${SET:}", "${SET!x}", "${ SET}", "${NOPE:-${SET}"])
def test_broken_forms_are_refused(template: str) -> None:
    with pytest.raises(ComposeError, match="not a valid use") as caught:
        substitute(template, VARIABLES, PLACE)
    assert caught.value.place == PLACE
    assert "$$" in caught.value.remedy


@pytest.mark.parametrize("template", ["${NOPE:?set it}", "${NOPE?set it}", "${EMPTY:?set it}"])
def test_a_required_variable_says_its_message(template: str) -> None:
    with pytest.raises(ComposeError, match="is required and has no value: set it"):
        substitute(template, VARIABLES, PLACE)


def test_names_are_told_apart() -> None:
    found = substitute("$SET ${NOPE} ${GONE:-d} $$NOT ${SET:-${UNSEEN}}", VARIABLES, PLACE)
    assert found.mentioned == {"SET", "NOPE", "GONE"}
    assert found.missing == {"NOPE"}


def test_bombs_are_refused() -> None:
    with pytest.raises(ComposeError, match="nested deeper"):
        substitute("${A:-" * 40 + "}" * 40, {}, PLACE)
    with pytest.raises(ComposeError, match="longer than"):
        substitute("$BIG" * 100, {"BIG": "x" * 1000}, PLACE)


def test_a_tree_keeps_its_keys_and_remembers_who_mentioned_what() -> None:
    root, missing = interpolated(load(b"$SET: [$SET, 1, '${NOPE}']\n", "f"), VARIABLES)
    assert isinstance(root.value, dict)
    (items,) = root.value.values()
    assert list(root.value) == ["$SET"]
    assert isinstance(items.value, tuple)
    assert [item.value for item in items.value] == ["value", 1, ""]
    assert items.value[0].variables == {"SET"}
    assert {name: place.path for name, place in missing.items()} == {"NOPE": "$SET[2]"}


def test_the_environment_of_the_process_is_never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "leaked")
    assert substitute("$CANARY", {}, PLACE).text == ""
