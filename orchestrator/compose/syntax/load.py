"""YAML to a tree of nodes that know where they stand, by the scalar rules that Compose has.

`sources` calls it for every Compose file. PyYAML's parser gives the events; composing and resolving are ours, because
PyYAML reads `22:22` as 1342, `on` as a boolean and the last of two equal keys, and expands merge keys without end.
Every cap is checked before the work that it bounds, so a bomb ends in an error in milliseconds.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import yaml

from orchestrator.preview.errors import ComposeError, Place

MAX_BYTES = 256 * 1024
MAX_DEPTH = 64
MAX_NODES = 20_000
"""Nodes after every alias is expanded; the largest stack that we know of has under 5,000."""

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One value of a Compose file. `variables` are the names that its raw text mentioned in `$…`."""

    value: "Scalar | tuple[Node, ...] | dict[str, Node]"
    place: Place
    weight: int = 1
    """How many nodes it expands to, itself included."""
    variables: frozenset[str] = frozenset()
    tag: str = ""
    """`!reset` or `!override`."""
    dropped: str = ""
    """What Compose leaves out of the value as it is written."""

    @property
    def kind(self) -> str:
        """What it is, in the words of an error message."""
        match self.value:
            case None:
                return "nothing"
            case bool():
                return "a boolean"
            case int() | float():
                return "a number"
            case str():
                return "a string"
            case tuple():
                return "a list"
            case dict():
                return "a mapping"


def load(data: bytes, file: str) -> Node:
    """The root node of a file with exactly one document. Raises ComposeError, never anything of PyYAML's."""
    if len(data) > MAX_BYTES:
        raise ComposeError(
            Place(file=file),
            f"the file has {len(data)} bytes; the limit is {MAX_BYTES}",
            "Move data out of the Compose file, into files of the image or into an env_file.",
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise not_utf8(error, file) from error
    try:
        root = _Composer(text, file).document()
    except yaml.YAMLError as error:
        raise _syntax_error(error, text, file) from error
    return _with_paths(root, "")


def without_resets(node: Node) -> Node:
    """The tree without the values tagged `!reset`: in a file that stands alone that is all that the tag means."""
    value = node.value
    if isinstance(value, dict):
        kept = {key: without_resets(child) for key, child in value.items() if child.tag != "!reset"}
        return replace(node, value=kept)
    if isinstance(value, tuple):
        return replace(node, value=tuple(without_resets(child) for child in value if child.tag != "!reset"))
    return node


def not_utf8(error: UnicodeDecodeError, file: str) -> ComposeError:
    """The error for a file that is not text, at the line of the first byte that none can hold."""
    line = error.object.count(b"\n", 0, error.start) + 1
    return ComposeError(Place(file=file, line=line), f"byte {error.start} is not UTF-8", "Save the file as UTF-8.")


def _syntax_error(error: yaml.YAMLError, text: str, file: str) -> ComposeError:
    if isinstance(error, yaml.reader.ReaderError):
        return _character_error(text, file)
    mark = getattr(error, "problem_mark", None)
    place = Place(file=file, line=mark.line + 1, column=mark.column + 1) if mark else Place(file=file)
    problem = getattr(error, "problem", None) or str(error)
    return ComposeError(place, f"this is not YAML: {problem}", "Check the indentation and the quotes around it.")


def _character_error(text: str, file: str) -> ComposeError:
    """For what YAML allows nowhere, not even in quotes. The parser counts octets there, and a person lines."""
    found = yaml.reader.Reader.NON_PRINTABLE.search(text)
    before = text[: found.start()] if found else ""
    place = Place(file=file, line=before.count("\n") + 1, column=len(before) - before.rfind("\n"))
    name = "a zero byte" if found is not None and found[0] == "\0" else "a control character"
    remedy = "Remove it; in double quotes `\\x07` and its like write most of them."
    return ComposeError(place, f"this is not YAML: {name} stands here", remedy)


def _with_paths(node: Node, path: str) -> Node:
    """The tree again, every node with its way from the root. Aliased nodes become nodes of their own here."""
    value = node.value
    if isinstance(value, dict):
        value = {key: _with_paths(child, f"{path}.{key}" if path else key) for key, child in value.items()}
    elif isinstance(value, tuple):
        value = tuple(_with_paths(child, f"{path}[{index}]") for index, child in enumerate(value))
    return replace(node, value=value, place=replace(node.place, path=path))


@dataclass(slots=True)
class _Mapping:
    """A mapping while it is read: its own pairs, and what `<<` brings."""

    own: dict[str, Node] = field(default_factory=dict)
    merged: dict[str, Node] = field(default_factory=dict)


class _Composer:
    """Turns the parser's events into nodes, in one pass, with the caps applied as it goes."""

    def __init__(self, text: str, file: str) -> None:
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=yaml.CSafeLoader)
        self._file = file
        self._anchors: dict[str, Node] = {}
        self._spent = 0

    def document(self) -> Node:
        """The only document's root."""
        next(self._events)  # the stream's start
        start = next(self._events)
        if isinstance(start, yaml.StreamEndEvent):
            raise ComposeError(Place(file=self._file), "the file is empty", "Give it a `services:` section.")
        root = self._node(next(self._events), 1)
        next(self._events)  # the document's end
        extra = next(self._events)
        if not isinstance(extra, yaml.StreamEndEvent):
            raise ComposeError(
                self._place(extra),
                "the file holds several documents",
                "Keep one document; remove the `---` that starts the second.",
            )
        return root

    def _node(self, event: yaml.Event, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise ComposeError(
                self._place(event), f"nested deeper than {MAX_DEPTH} levels", "Flatten this part of the file."
            )
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        self._spend(1, event)
        node = self._fresh(event, depth)
        anchor = getattr(event, "anchor", None)
        if anchor:
            self._anchors[anchor] = node
        return node

    def _spend(self, nodes: int, event: yaml.Event) -> None:
        """Counts what the tree will hold once every alias is expanded, before any of it is copied."""
        self._spent += nodes
        if self._spent > MAX_NODES:
            raise ComposeError(
                self._place(event),
                f"the file has more than {MAX_NODES} values once its aliases are expanded",
                "Use fewer aliases, or shorter lists behind them.",
            )

    def _fresh(self, event: yaml.Event, depth: int) -> Node:
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(event, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(event, depth)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        raise ComposeError(self._place(event), "this is not YAML: a value is missing here", "Write the value.")

    def _alias(self, event: yaml.AliasEvent) -> Node:
        node = self._anchors.get(str(event.anchor))
        if node is None:
            raise ComposeError(
                self._place(event),
                f"`*{event.anchor}` has no `&{event.anchor}` before it, or stands inside it",
                f"Write `&{event.anchor}` at a value above, outside this one.",
            )
        self._spend(node.weight, event)
        return node

    def _sequence(self, event: yaml.SequenceStartEvent, depth: int) -> Node:
        items: list[Node] = []
        weight = 1
        while not isinstance(child := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(child, depth + 1))
            weight += items[-1].weight
        return Node(value=tuple(items), place=self._place(event), weight=weight, tag=self._tag(event))

    def _mapping(self, event: yaml.MappingStartEvent, depth: int) -> Node:
        found = _Mapping()
        while not isinstance(start := next(self._events), yaml.MappingEndEvent):
            key = self._key(start)
            value = self._node(next(self._events), depth + 1)
            if key == "<<" and self._is_plain(start):
                self._merge(found, value)
            elif key in found.own:
                line = found.own[key].place.line
                raise ComposeError(
                    self._place(start, key), f"`{key}` stands here twice, first at line {line}", "Remove one of them."
                )
            else:
                found.own[key] = value
        pairs = {**found.merged, **found.own}
        weight = 1 + sum(child.weight for child in pairs.values())
        return Node(value=pairs, place=self._place(event), weight=weight, tag=self._tag(event))

    def _merge(self, found: _Mapping, value: Node) -> None:
        sources = value.value if isinstance(value.value, tuple) else (value,)
        for source in sources:
            if not isinstance(source.value, dict):
                raise ComposeError(
                    source.place, f"`<<` merges mappings, and this is {source.kind}", "Name an anchor of a mapping."
                )
            for key, child in source.value.items():
                found.merged.setdefault(key, child)

    def _key(self, event: yaml.Event) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            raise ComposeError(self._place(event), "a key must be a plain string", "Write the key as one word.")
        key = self._scalar(event).value
        if not isinstance(key, str):
            raise ComposeError(
                self._place(event), f"the key `{event.value}` is not a string", f'Write "{event.value}" in quotes.'
            )
        return key

    @staticmethod
    def _is_plain(event: yaml.Event) -> bool:
        return isinstance(event, yaml.ScalarEvent) and not event.style

    def _scalar(self, event: yaml.ScalarEvent) -> Node:
        place = self._place(event)
        tag = self._tag(event)
        text = event.value
        quoted = bool(event.style) or event.tag in ("!", "tag:yaml.org,2002:str")
        return Node(value=text if quoted else _resolve(text, place), place=place, tag=tag)

    def _tag(self, event: yaml.NodeEvent) -> str:
        tag: str | None = getattr(event, "tag", None)
        if tag in ("!reset", "!override"):
            return tag
        if tag is None or tag in _KNOWN_TAGS:
            return ""
        raise ComposeError(self._place(event), f"the tag `{tag}` means nothing in a Compose file", "Remove the tag.")

    def _place(self, event: yaml.Event, path: str = "") -> Place:
        mark = event.start_mark
        if mark is None:
            return Place(file=self._file, path=path)
        return Place(file=self._file, line=mark.line + 1, column=mark.column + 1, path=path)


_KNOWN_TAGS = frozenset({"!", *(f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq", "int", "bool"))})
_WORDS: Mapping[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **{sign + word: math.inf for sign in ("", "+") for word in (".inf", ".Inf", ".INF")},
    **{"-" + word: -math.inf for word in (".inf", ".Inf", ".INF")},
}
_INTEGERS = (
    (re.compile(r"[-+]?0b[01_]+"), 2),
    (re.compile(r"[-+]?0x[0-9a-fA-F_]+"), 16),
    (re.compile(r"[-+]?0o?[0-7_]+"), 8),
    (re.compile(r"[-+]?[0-9][0-9_]*"), 10),
)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([Tt ]\S.*)?")
_LEAST, _MOST = -(2**63), 2**64 - 1
"""A whole number outside these is a float to Compose."""


def _resolve(text: str, place: Place) -> Scalar:
    """What a plain scalar means to Compose: YAML 1.2, and the octal `0755` of YAML 1.1."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _DATE.fullmatch(text):
        raise ComposeError(place, f"YAML reads {text} as a date", f'Write "{text}" in quotes.')
    return _number(text)


def _number(text: str) -> Scalar:
    for pattern, base in _INTEGERS:
        if pattern.fullmatch(text) and len(text) < MAX_DEPTH:
            number = -0.0 if text == "-0" else _integer(text, base)
            if number is not None and _LEAST <= number <= _MOST:
                return number
    plain = text.replace("_", "")
    if _FLOAT.fullmatch(plain) and text[0] != "_":
        return float(plain)
    return text


def _integer(text: str, base: int) -> int | None:
    try:
        return int(text.replace("_", ""), base)
    except ValueError:
        return None
