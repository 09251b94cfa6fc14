"""TOML that a stranger wrote is read, or refused before it takes long."""

import pytest

from orchestrator.codebase.toml import MAX_CHARACTERS, MAX_KEY_PARTS, MAX_LINE, read_toml


def test_what_people_write_is_read() -> None:
    text = '[tool."a.b".c]\nx.y.z = "1.2.3.4"\n"q r".s = [1.5, {t.u = "…"}]\n'
    assert read_toml(text)["tool"]["a.b"]["c"]["x"]["y"]["z"] == "1.2.3.4"
    assert read_toml("a" + ".a" * (MAX_KEY_PARTS - 1) + " = 1")
    assert read_toml(f'hash = "{"0" * 8000}"')


@pytest.mark.parametrize("part", [".a", " . a", ".'a b'", '."a\\" b"', ".\t1-_"])
@pytest.mark.parametrize("form", ["a{}= 1", "[a{}]", "x = {{a{}= 1}}"])
def test_a_key_of_more_parts_than_anybody_writes_is_refused(part: str, form: str) -> None:
    with pytest.raises(ValueError, match="a key has more than"):
        read_toml(form.format(part * (MAX_KEY_PARTS + 1)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("#\n" * MAX_CHARACTERS, "longer than"),
        ("#" * (MAX_LINE + 1), "a line is longer"),
        ("a = " + "[" * 8_000, "nested too deeply"),
        ("a = ", "Invalid value"),
    ],
)
def test_what_is_refused_says_why(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_toml(text)
