"""Nodes to typed values, by the casts that Compose has: one function per kind of value.

Pure. Whatever reads a value uses these; each raises ComposeError at the node's own place.
"""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

from orchestrator.compose.syntax.load import Node
from orchestrator.preview.errors import ComposeError

_Choice = TypeVar("_Choice", bound=StrEnum)

_TRUE = frozenset({"1", "t", "true", "y", "yes", "on"})
_FALSE = frozenset({"0", "f", "false", "n", "no", "off"})
_LONGEST = 200
"""Characters of a number, a duration or a size: patterns may go back over so many without anybody noticing."""
_LONGEST_WORD = 64
"""Characters of a word that a known one is sought for: no name that we know is half as long."""
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h|d|w)")
_DURATION = re.compile(f"(?:{_PART.pattern})+")
_NANOSECONDS = 10**9
_UNITS: Mapping[str, int] = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "ms": 10**6,
    "s": _NANOSECONDS,
    "m": 60 * _NANOSECONDS,
    "h": 3600 * _NANOSECONDS,
    "d": 86_400 * _NANOSECONDS,
    "w": 604_800 * _NANOSECONDS,
}
"""Nanoseconds in each unit."""
_LONGEST_DURATION = 2**63 - 1
"""Nanoseconds: as many as Compose, and the Engine, can hold."""
_ENDLESS = 2**31
"""No author means a number as large as this: a limit there is not worth a word."""
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+) ?(?:([kmgtp])i?)?b?", re.IGNORECASE)
_POWERS = ("", "k", "m", "g", "t", "p")
_PLAIN_POWERS = (-4, 6)
"""The powers of ten for which Go prints a float without an exponent."""


def refuse(node: Node, message: str, remedy: str) -> ComposeError:
    """The error for what stands at `node`: what is wrong with it, and what to write instead."""
    return ComposeError(node.place, message, remedy)


def mapping(node: Node, example: str = "name: value") -> dict[str, Node]:
    """The pairs of a mapping."""
    if not isinstance(node.value, dict):
        raise refuse(node, f"this must be a mapping, and is {node.kind}", f"Write `{example}` below it.")
    return node.value


def items(node: Node, example: str = "- value") -> tuple[Node, ...]:
    """The items of a list."""
    if not isinstance(node.value, tuple):
        raise refuse(node, f"this must be a list, and is {node.kind}", f"Write `{example}` below it.")
    return node.value


def text(node: Node) -> str:
    """A string, and only a string: Compose does not take a number for one here."""
    if not isinstance(node.value, str):
        raise refuse(node, f"this must be a string, and is {node.kind}", "Put it in quotes.")
    return node.value


def scalar_text(node: Node) -> str:
    """A string, number or boolean, written the way that Compose writes it into an environment."""
    match node.value:
        case bool():
            return "true" if node.value else "false"
        case float() if math.isfinite(node.value):
            return _float_text(node.value)
        case str() | int():
            return str(node.value)
        case _:
            what = f"this must be a string, a number or a boolean, and is {node.kind}"
            raise refuse(node, what, "Write one value, in quotes if it is more than a word or a number.")


def boolean(node: Node) -> bool:
    """A boolean, or a string that Compose casts to one (`yes`, `on`, `"true"`)."""
    if isinstance(node.value, bool):
        return node.value
    word = node.value.lower() if isinstance(node.value, str) else ""
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise refuse(node, f"this must be true or false, and is {_shown(node)}", "Write true or false.")


def integer(node: Node, low: int, high: int) -> int:
    """A whole number from `low` to `high`, or a string of one."""
    found = node.value
    if isinstance(found, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", found):
        found = int(found)
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, int) or not low <= found <= high:
        wanted = f"a whole number{_limits(low, high)}"
        raise refuse(node, f"this must be {wanted}, and is {_shown(node)}", f"Write {wanted}, in digits only.")
    return found


def _limits(low: int, high: int) -> str:
    """The range in words; an end that only a machine knows is none."""
    if high < _ENDLESS:
        return f" from {low} to {high}"
    return f" of {low} or more" if low > -_ENDLESS else ""


def whole(node: Node) -> int:
    """Any whole number that Compose can hold, or a string of one."""
    return integer(node, -(2**63), 2**63 - 1)


def number(node: Node) -> float:
    """A number that is not negative, or a string of one."""
    found = signed(node)
    if found < 0:
        raise refuse(node, f"this must be 0 or more, and is {_shown(node)}", "Write a number such as 0.5.")
    return found


def signed(node: Node) -> float:
    """Any number, or a string of one."""
    found = math.nan if isinstance(node.value, bool) else _float(node.value)
    if not math.isfinite(found):
        raise refuse(node, f"this must be a number, and is {_shown(node)}", "Write a number such as 0.5.")
    return found


def _float(value: object) -> float:
    """A number as Go reads it: of ASCII, and without a blank. Not a number for anything else."""
    if isinstance(value, str) and not (len(value) <= _LONGEST and value.isascii() and value == value.strip()):
        return math.nan
    try:
        return float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        return math.nan


def duration(node: Node) -> float:
    """Seconds, from `1h30m`, `10s`, `500ms`."""
    found = _nanoseconds(node.value)
    if found is not None and found <= _LONGEST_DURATION:
        return found / _NANOSECONDS
    raise refuse(node, f"{_shown(node)} is not a duration", "Write a number with its unit, such as 10s or 1m30s.")


def duration_text(node: Node) -> str:
    """A duration as it is written, checked."""
    duration(node)
    return text(node)


def go_duration(written: str) -> str:
    """A duration as Go prints it: `1h30m0s`, `1.5s`, `100ms`."""
    left = _nanoseconds(written) or 0
    if left < _NANOSECONDS:
        return _small_duration(left)
    seconds, fraction = divmod(left, _NANOSECONDS)
    hours, minutes, seconds = seconds // 3600, seconds // 60 % 60, seconds % 60
    tail = f"{seconds}{_decimals(fraction, 9)}s"
    if hours:
        return f"{hours}h{minutes}m{tail}"
    return f"{minutes}m{tail}" if minutes else tail


def size(node: Node) -> int:
    """Bytes, from `512`, `64m`, `1.5gb`, `1 KiB`."""
    if isinstance(node.value, int) and not isinstance(node.value, bool) and node.value >= 0:
        return node.value
    short = isinstance(node.value, str) and len(node.value) <= _LONGEST
    found = _SIZE.fullmatch(str(node.value)) if short else None
    if found is None:
        raise refuse(node, f"{_shown(node)} is not a size", "Write a number of bytes, or one with k, m or g.")
    return int(float(found[1]) * 1024 ** _POWERS.index((found[2] or "").lower()))


def size_text(octets: int) -> str:
    """A size the way that it is written, in the largest unit that leaves it whole: `1g`, `1536m`, `1000`."""
    power = next(power for power in (3, 2, 1, 0) if octets % 1024**power == 0)
    return f"{octets // 1024**power}{_POWERS[power]}"


def one_of(*words: str) -> Callable[[Node], str]:
    """A reader that takes these words only."""

    def reader(node: Node) -> str:
        word = text(node)
        if word not in words:
            known = ", ".join(words)
            raise refuse(node, f"`{word}` is none of {known}", nearest(word, words) or f"Write one of {known}.")
        return word

    return reader


def choice(node: Node, kind: type[_Choice]) -> _Choice:
    """One of an enum's words."""
    word = text(node)
    try:
        return kind(word)
    except ValueError:
        known = ", ".join(member.value for member in kind)
        raise refuse(node, f"`{word}` is none of {known}", nearest(word, kind) or f"Write one of {known}.") from None


def pairs(node: Node) -> dict[str, Node]:
    """Names and values, from a mapping or from a list of `NAME=value`; a bare NAME has the value None."""
    if isinstance(node.value, dict):
        return node.value
    if not isinstance(node.value, tuple):
        raise refuse(node, f"this must be a mapping or a list, and is {node.kind}", "Write `NAME: value` below it.")
    return dict(_pair(item) for item in node.value)


def check_keys(node: Node, known: Iterable[str], refused: Mapping[str, str] | None = None) -> None:
    """Refuses every key outside `known`; `refused` says why for keys that Compose has and previewd does not take."""
    names = frozenset(known)
    reasons = refused or {}
    for key, child in mapping(node).items():
        if key in names or key.startswith("x-"):
            continue
        if key in reasons:
            raise refuse(child, f"previewd does not take `{key}`: {reasons[key]}", "Remove it for the preview.")
        raise refuse(child, f"unknown key `{key}`", nearest(key, names | set(reasons)) or "Remove it.")


def nearest(word: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """A remedy that names the known word most like `word`, or nothing."""
    if len(word) > _LONGEST_WORD:
        return ""
    found = difflib.get_close_matches(word, [str(name) for name in known], n=1, cutoff=likeness)
    return f"Did you mean `{found[0]}`?" if found else ""


def _pair(item: Node) -> tuple[str, Node]:
    name, sign, value = text(item).partition("=")
    if name != name.rstrip():
        raise refuse(item, f"the name `{name}` ends in a blank", "Write NAME=value without blanks around the =.")
    node = Node(value=value if sign else None, place=item.place, variables=item.variables)
    return name, node


def _shown(node: Node) -> str:
    return f"`{node.value}`" if isinstance(node.value, str | int | float) and node.value != "" else node.kind


def _nanoseconds(written: object) -> int | None:
    """None for what is no duration."""
    if written == "0":
        return 0
    if not isinstance(written, str) or len(written) > _LONGEST or _DURATION.fullmatch(written) is None:
        return None
    return int(sum(Decimal(amount) * _UNITS[unit] for amount, unit in _PART.findall(written)))


def _small_duration(nanoseconds: int) -> str:
    for digits, unit in ((6, "ms"), (3, "µs")):
        if nanoseconds >= 10**digits:
            whole_part, fraction = divmod(nanoseconds, 10**digits)
            return f"{whole_part}{_decimals(fraction, digits)}{unit}"
    return f"{nanoseconds}ns" if nanoseconds else "0s"


def _decimals(fraction: int, digits: int) -> str:
    return f".{fraction:0{digits}d}".rstrip("0") if fraction else ""


def _float_text(value: float) -> str:
    """As Go prints a float: the shortest digits, with an exponent below 1e-4 and from 1e6 on."""
    exact = Decimal(repr(value)).normalize()
    sign, digits, exponent = exact.as_tuple()
    power = len(digits) + int(exponent) - 1
    if _PLAIN_POWERS[0] <= power < _PLAIN_POWERS[1] or not value:
        return f"{exact:f}"
    fraction = "." + "".join(map(str, digits[1:])) if len(digits) > 1 else ""
    return f"{'-' * sign}{digits[0]}{fraction}e{power:+03d}"
