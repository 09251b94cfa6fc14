"""Two trees of the Compose language made into one, by the rules of the specification, chapter 13.

Pure. Both trees are in their long form (`shapes.conform`): mappings merge, lists add up unless their items have a key
or the list is a command, everything else is replaced. `!reset` takes away, `!override` replaces.
"""

from collections.abc import Callable
from dataclasses import replace

from orchestrator.compose.schema.shapes import (
    OVERRIDE,
    RESET,
    Anything,
    Leaf,
    Listing,
    Record,
    Shape,
    Table,
    distinct,
    plain_value,
)
from orchestrator.compose.syntax.casts import refuse
from orchestrator.compose.syntax.load import Node


def merge(base: Node, over: Node, shape: Shape) -> Node:
    """`over` on top of `base`. Tags stay on what they stand at, for a file further below."""
    if over.tag in (RESET, OVERRIDE) or base.tag == RESET:
        return over
    if over.value is None and not _takes_nothing(shape):
        return base
    match shape:
        case Listing():
            return _listing(base, over, shape)
        case Record():
            return _record(base, over, shape)
        case Table():
            return _mapping(base, over, lambda _: shape.value)
        case Anything():
            return _extension(base, over)
        case _:
            return over


def _takes_nothing(shape: Shape) -> bool:
    """Whether a later file that says nothing here means just that: a command is gone, a variable has no value."""
    return (isinstance(shape, Listing) and shape.replaced) or (isinstance(shape, Leaf) and shape.nullable)


def _listing(base: Node, over: Node, shape: Listing) -> Node:
    if shape.replaced:
        return over
    if not isinstance(base.value, tuple):
        return over
    if not isinstance(over.value, tuple):
        return base
    if shape.overlay is not None:
        below = {shape.overlay(item): item for item in base.value}
        key = shape.overlay
        merged = tuple(merge(below.get(key(item), item), item, shape.item) for item in over.value)
        return replace(over, value=merged)
    return replace(base, value=distinct((*base.value, *over.value), shape.key or _as_written))


def _as_written(node: Node) -> str:
    return repr(plain_value(node))


def _record(base: Node, over: Node, shape: Record) -> Node:
    if shape.replaced:
        return over
    if shape.agree_on and isinstance(base.value, dict) and isinstance(over.value, dict):
        ours, theirs = base.value.get(shape.agree_on), over.value.get(shape.agree_on)
        if ours is not None and theirs is not None and plain_value(ours) != plain_value(theirs):
            return over
    return _mapping(base, over, shape.fields.get)


def _mapping(base: Node, over: Node, shape_of: Callable[[str], Shape | None]) -> Node:
    if not isinstance(base.value, dict):
        return over
    if not isinstance(over.value, dict):
        return base
    merged = dict(base.value)
    for key, child in over.value.items():
        shape = shape_of(key)
        below = merged.get(key)
        if child.tag == RESET:
            merged.pop(key, None)
        elif below is None:
            merged[key] = child
        else:
            merged[key] = merge(below, child, shape or Anything())
    return replace(base, value=merged)


def _extension(base: Node, over: Node) -> Node:
    """`x-…`, which has no shape: mappings merge, lists add up, and a single value takes the place of neither."""
    match base.value, over.value:
        case dict(), dict():
            return _mapping(base, over, lambda _: Anything())
        case tuple(), tuple():
            return replace(base, value=distinct((*base.value, *over.value), _as_written))
        case (dict(), _) | (tuple(), _):
            what = f"this is {over.kind}, and {base.kind} at {base.place}"
            raise refuse(over, what, "Write the same kind in both files, or put !override before the later one.")
        case _:
            return over
