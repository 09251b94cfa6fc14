"""YAML as Compose reads it, where everything stands, and bombs that end at once."""

from typing import Any

import pytest

from orchestrator.compose.syntax.load import MAX_BYTES, Node, load
from orchestrator.preview.errors import ComposeError


def plain(node: Node) -> Any:
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, tuple):
        return [plain(child) for child in node.value]
    return node.value


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("22:22", "22:22"),
        ("12:30:45", "12:30:45"),
        ("on", "on"),
        ("yes", "yes"),
        ("true", True),
        ("False", False),
        ("0755", 493),
        ("0o755", 493),
        ("-0755", -493),
        ("0x1F", 31),
        ("0xA0b1", 0xA0B1),
        ("0b11", 3),
        ("1_000", 1000),
        ("08", 8),
        ("1e3", 1000.0),
        ("1.5", 1.5),
        ("-0", -0.0),
        ("~", None),
        ("", None),
        ("'~'", "~"),
        ('"1"', "1"),
        ("!!str 1", "1"),
        ("18446744073709551616", 18446744073709551616.0),
        ("1.2.3", "1.2.3"),
        ("=", "="),
    ],
)
def test_scalars(written: str, value: object) -> None:
    found = plain(load(f"a: {written}\n".encode(), "f"))
    assert found == {"a": value}
    assert type(found["a"]) is type(value)


def test_every_node_knows_its_place() -> None:
    root = load(b"services:\n  api:\n    ports:\n      - 80\n      - '81'\n", "compose.yaml")
    assert isinstance(root.value, dict)
    services = root.value["services"]
    assert isinstance(services.value, dict)
    api = services.value["api"]
    assert isinstance(api.value, dict)
    ports = api.value["ports"]
    assert isinstance(ports.value, tuple)
    assert str(ports.value[1].place) == "compose.yaml:5:9 services.api.ports[1]"


def test_an_aliased_value_has_the_path_where_it_is_used() -> None:
    root = load(b"a: &x {b: 1}\nc: *x\n", "f")
    assert isinstance(root.value, dict)
    used = root.value["c"].value
    assert isinstance(used, dict)
    assert used["b"].place.path == "c.b"
    assert used["b"].place.line == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}", {"a": 1, "b": 3}),
        ("x: &x {a: 1, b: 2}\ny: {b: 3, <<: *x}", {"a": 1, "b": 3}),
        ("x: [&p {a: 1}, &q {a: 2, b: 2}]\ny: {<<: [*p, *q]}", {"a": 1, "b": 2}),
        ("x: &x {a: 1}\ny: {'<<': 1}", {"<<": 1}),
    ],
)
def test_merge_keys(text: str, value: object) -> None:
    assert plain(load(text.encode(), "f"))["y"] == value


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        (b"", "f", "empty"),
        (b"# nothing\n", "f", "empty"),
        (b"a: 1\n---\nb: 2\n", "f:2:1", "several documents"),
        (b"a: 1\nb: 2\na: 3\n", "f:3:1", "twice, first at line 1"),
        (b"a:\n  1: x\n", "f:2:3", "not a string"),
        (b"true: x\n", "f:1:1", "not a string"),
        (b"? [a]\n: b\n", "f:1:3", "plain string"),
        (b"a: *x\n", "f:1:4", "no `&x` before it"),
        (b"a: &x [*x]\n", "f:1:8", "stands inside it"),
        (b"a: {<<: 1}\n", "f:1:9", "`<<` merges mappings"),
        (b"a: !secret x\n", "f:1:4", "the tag `!secret`"),
        (b"a: !!python/object:os.system x\n", "f:1:4", "means nothing"),
        (b"a: [1\n", "f:2:1", "not YAML"),
        (b"a: 'x\n", "f:2:1", "not YAML"),
        (b"\ta: 1\n", "f:1:1", "not YAML"),
        (b"a: 2001-01-01\n", "f:1:4", "a date"),
        (b"a: 1\nb: \xff\n", "f:2", "not UTF-8"),
        (b"a: " + b"x" * MAX_BYTES, "f", "the limit is"),
        (b"[" * 70 + b"]" * 70, "f:1:65", "deeper than 64"),
        (b"[" * 60_000, "f:1:65", "deeper than 64"),
    ],
)
def test_what_cannot_be_read_is_refused_at_its_place(text: bytes, where: str, what: str) -> None:
    with pytest.raises(ComposeError, match=what) as caught:
        load(text, "f")
    position = str(caught.value.place).split(" ")[0]
    assert position == where


def bomb(first: str, later: str) -> bytes:
    """Sixty anchors, each of nine aliases of the one before: 9^60 values when expanded."""
    lines = [f"a0: &a0 {first}\n"]
    for level in range(1, 60):
        nine = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} {later.format(nine)}\n")
    return "".join(lines).encode()


@pytest.mark.parametrize(
    "text",
    [
        bomb("[x]", "[{}]"),
        bomb("{x: 1}", "{{y: [{}]}}"),
        b"a: &a {"
        + b", ".join(b"k%d: 1" % n for n in range(5000))
        + b"}\n"
        + b"".join(b"b%d: {<<: *a}\n" % n for n in range(9000)),
        b"[" + b"1," * 120_000 + b"1]",
        b"a: &a {x: 1}\nb: {<<: [" + b"*a," * 60_000 + b"*a]}\n",
    ],
    ids=["lists", "mappings", "merges", "wide", "wide merge"],
)
def test_bombs_are_refused_before_they_are_expanded(text: bytes) -> None:
    with pytest.raises(ComposeError, match=r"once its aliases are expanded"):
        load(text, "f")


def test_a_merge_bomb_is_refused_or_small() -> None:
    # Merging the same keys again adds none, but each of the aliases counts.
    with pytest.raises(ComposeError, match="once its aliases are expanded"):
        load(bomb("{" + ", ".join(f"k{n}: 1" for n in range(50)) + "}", "{{<<: [{}]}}"), "f")


def test_reset_and_override_keep_their_tag() -> None:
    root = load(b"a: !reset x\nb: !override [y]\n", "f")
    assert isinstance(root.value, dict)
    assert [child.tag for child in root.value.values()] == ["!reset", "!override"]
