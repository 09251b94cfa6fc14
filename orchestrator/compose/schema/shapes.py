"""What the Compose language allows at one place: shapes, and the walk that brings a tree into its long form.

Pure. `specification` builds the whole language out of these; `merge` and `canonical` walk the same shapes. Nothing here
knows what previewd allows: that is the policy's.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from orchestrator.compose.syntax.casts import items, mapping, nearest, refuse
from orchestrator.compose.syntax.load import Node, Scalar
from orchestrator.preview.errors import Place

NAME = re.compile(r"[a-zA-Z0-9._-]+")
"""What services, networks, volumes, secrets, configs and models may be called."""

RESET, OVERRIDE = "!reset", "!override"
"""The tags that take away what an earlier file says, or keep it from being merged."""

Long: TypeAlias = Callable[[Node], Node]
"""Turns the short form of a value into its long form, and leaves every other form alone."""


def as_written(node: Node) -> Node:
    """For the places that have one form only."""
    return node


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A single value. `read` refuses what has the wrong type, and casts as Compose casts."""

    read: Callable[[Node], Scalar]
    show: Callable[[Scalar], object] = field(default=lambda value: value)
    """How `config --format json` prints it."""
    keep_empty: bool = False
    """Whether it is printed also where it is false, 0 or an empty string."""
    is_path: bool = False
    """Whether it is a path beside the file that it stands in."""
    nullable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A mapping with known keys, and any that begin with `x-`."""

    fields: Mapping[str, "Shape"]
    required: tuple[str, ...] = ()
    long: Long = as_written
    nullable: bool = False
    replaced: bool = False
    """Whether a later file replaces the record instead of changing it."""
    agree_on: str = ""
    """The key in which two files must agree; where they do not, the later file's record replaces the other."""
    shown_as: Mapping[str, str] = field(default_factory=dict)
    """Keys that `config --format json` prints under another name."""
    keep_empty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A mapping from names that the author chooses."""

    value: "Shape"
    name: re.Pattern[str] | None = None
    long: Long = as_written
    nullable: bool = False
    keep_empty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A list. Two items with the same `key` are one, and the later counts; without `key` none may stand twice."""

    item: "Shape"
    key: Callable[[Node], str] | None = None
    repeats: bool = False
    """Whether the same item may stand in it twice."""
    long: Long = as_written
    replaced: bool = False
    """Whether a later file replaces the list instead of adding to it."""
    overlay: Callable[[Node], str] | None = None
    """Where set, a later file's list replaces, and each of its items keeps what it does not say itself."""
    nullable: bool = False
    keep_empty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Anything:
    """A value that Compose does not look into."""

    keep_empty: bool = True


_KINDS: Mapping[type, str] = {Leaf: "a value", Record: "a mapping", Table: "a mapping", Listing: "a list"}
Shape: TypeAlias = Leaf | Record | Table | Listing | Anything


def conform(node: Node, shape: Shape) -> Node:
    """The tree in its long form, every value cast to its type. Raises ComposeError where the language is broken.

    Keys that are required may still be missing: another file may bring them. See `complete`.
    """
    if node.tag == RESET or (node.value is None and not isinstance(shape, Leaf)):
        return node
    match shape:
        case Leaf():
            if node.value is None and not shape.nullable:
                return node
            value = shape.read(node)
            return node if value is node.value else replace(node, value=value)
        case Record():
            return _record(shape.long(node), shape)
        case Table():
            return _table(shape.long(node), shape)
        case Listing():
            return _listing(shape.long(node), shape)
        case Anything():
            return node


def complete(node: Node, shape: Shape) -> None:
    """Refuses what is still missing once every file is merged: a value, or a record's required key."""
    value = node.value
    if value is None and not isinstance(shape, Anything) and not shape.nullable:
        raise refuse(node, f"this must be {_KINDS[type(shape)]}, and is nothing", "Remove the key, or give it a value.")
    match shape:
        case Record() if isinstance(value, dict):
            _complete_record(node, value, shape)
        case Table() if isinstance(value, dict):
            for child in value.values():
                complete(child, shape.value)
        case Listing() if isinstance(value, tuple):
            for child in value:
                complete(child, shape.item)
        case _:
            pass


def _complete_record(node: Node, value: Mapping[str, Node], shape: Record) -> None:
    for key in shape.required:
        if key not in value:
            raise refuse(node, f"`{key}` is missing here", f"Add `{key}:`.")
    for key, child in value.items():
        if key in shape.fields:
            complete(child, shape.fields[key])


def made(value: Scalar | tuple[Node, ...] | dict[str, Node], at: Node) -> Node:
    """A node that stands for part of another one: same place, same variables."""
    return Node(value=value, place=at.place, variables=at.variables)


def distinct(children: Iterable[Node], key: Callable[[Node], str]) -> tuple[Node, ...]:
    """Each key once: the last of those that share it, where the first of them stood."""
    return tuple({key(child): child for child in children}.values())


def _record(node: Node, shape: Record) -> Node:
    found: dict[str, Node] = {}
    for key, child in mapping(node, _example(shape)).items():
        if key in shape.fields:
            found[key] = conform(child, shape.fields[key])
        elif key.startswith("x-"):
            found[key] = child
        else:
            raise _unknown(key, child, shape)
    return replace(node, value=found)


def _unknown(key: str, child: Node, shape: Record) -> Exception:
    remedy = nearest(key, shape.fields) or f"Remove it; known here are {', '.join(sorted(shape.fields)[:12])}."
    return refuse(child, f"unknown key `{key}`", remedy)


def _table(node: Node, shape: Table) -> Node:
    found = mapping(node)
    if shape.name is not None:
        check_names(found, shape.name)
    return replace(node, value={name: conform(child, shape.value) for name, child in found.items()})


def check_names(found: Mapping[str, Node], pattern: re.Pattern[str] = NAME) -> None:
    """Refuses the first key that is no name."""
    for name, child in found.items():
        if pattern.fullmatch(name) is None:
            raise refuse(child, f"`{name}` is not a name", "Use letters, digits, `.`, `-` and `_`.")


def _listing(node: Node, shape: Listing) -> Node:
    found = tuple(conform(child, shape.item) for child in items(node) if child.tag != RESET)
    if shape.key is not None:
        found = distinct(found, shape.key)
    elif not shape.repeats:
        refuse_repeats(found)
    return replace(node, value=found)


def refuse_repeats(children: Iterable[Node]) -> None:
    """Refuses the second of two equal items."""
    seen: dict[object, Place] = {}
    for child in children:
        plain = repr(plain_value(child))
        if plain in seen:
            raise refuse(child, "this item stands in the list twice", "Remove one of them.")
        seen[plain] = child.place


def plain_value(node: Node) -> object:
    """The value without the places, for comparisons."""
    value = node.value
    if isinstance(value, dict):
        return {key: plain_value(child) for key, child in value.items()}
    if isinstance(value, tuple):
        return [plain_value(child) for child in value]
    return value


def _example(shape: Record) -> str:
    return f"{next(iter(shape.fields))}: …" if shape.fields else "name: value"
