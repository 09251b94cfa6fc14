"""A case of the hostile corpus: one repository that means harm."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Body = dict[str, Any]
Neutral = Callable[[Body], bool]

CANARY = "canary-7f3a"
"""Stands in a file beside the repository and in the environment of the process: it may come out nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """It must be refused, unless `neutral` says what must have become of it."""

    name: str
    files: Mapping[str, bytes]
    neutral: Neutral | None = None
    """What holds of the body of service `a`, where the file is accepted."""


def case(name: str, text: str, neutral: Neutral | None = None, /, **others: str) -> Case:
    """A case of one Compose file; further files by name, where `__` is a dot and `___` a slash."""
    names = {key.replace("___", "/").replace("__", "."): content.encode() for key, content in others.items()}
    return Case(name=name, files={"compose.yaml": text.encode(), **names}, neutral=neutral)
