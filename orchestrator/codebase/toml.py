"""TOML that a stranger wrote. Pure."""

import re
import tomllib
from typing import Any

MAX_CHARACTERS, MAX_LINE, MAX_KEY_PARTS = 256 * 1024, 8 * 1024, 64
"""The library takes the square of a dotted key's length, which is half an hour for a key of a megabyte."""
_PARTS = re.compile(r"""(?:\.[ \t]*+(?:[\w-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+)++""")
"""What follows the first part of a dotted key."""


def read_toml(text: str) -> dict[str, Any]:
    """The root table. Raises ValueError with the reason: it is no TOML, or more of it than anybody writes."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"it is longer than {MAX_CHARACTERS} characters")
    if any(len(line) > MAX_LINE for line in text.split("\n")):
        raise ValueError(f"a line is longer than {MAX_LINE} characters")
    if any(found[0].count(".") >= MAX_KEY_PARTS for found in _PARTS.finditer(text)):
        raise ValueError(f"a key has more than {MAX_KEY_PARTS} parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
