"""Words, quotes and variables as the Dockerfile frontend reads them. Pure.

The rules are those of the frontend's own lexer, which knows less than a shell: no command substitution, no arrays.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

Lookup = Callable[[str], str | None]
"""The value of a variable, None when it is not set."""

UNKNOWN = "\0"
"""A value that only the build knows. What is made from it starts with it, whatever the operator."""

MAX_LENGTH = 64 * 1024
"""Characters of one word after expansion: variables made of variables must not multiply without end."""
MAX_DEPTH = 32
"""How deep variables and quotes may stand in each other."""
MAX_PATTERN = 256
"""Characters of a pattern as in `${NAME#PATTERN}`, and of the value that it is applied to."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?\-$!]")
_OPERATOR = re.compile(r":[-+?]|[-+?]|##?|%%?|//?")


def words(text: str, escape: str = "\\") -> list[str]:
    """The words of a line, with their quotes and variables as written. Raises ValueError for quotes that stay open."""
    return [text[start:end] for start, end in spans(text, escape)]


def spans(text: str, escape: str = "\\") -> list[tuple[int, int]]:
    """Where the words of a line start and end. Raises ValueError for quotes that stay open."""
    found: list[tuple[int, int]] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        start = at
        while at < len(text) and not text[at].isspace():
            at = _after(text, at, escape)
        found.append((start, at))
    return found


def expand(word: str, lookup: Lookup, escape: str = "\\") -> str:
    """A word without its quotes, its variables replaced. Raises ValueError for what the frontend cannot read."""
    return _Lexer(text=word, lookup=lookup, escape=escape).run()


def _after(text: str, at: int, escape: str, depth: int = 0) -> int:
    """Where the next part of a word begins: a quoted text, an escaped character, a variable in braces, a character."""
    if depth > MAX_DEPTH:
        raise ValueError("variables and quotes stand in each other too deeply")
    match text[at]:
        case "'":
            return _closing(text, at, "'", "", depth) + 1
        case '"':
            return _closing(text, at, '"', escape, depth) + 1
        case "$" if text.startswith("${", at):
            return _closing(text, at + 1, "}", escape, depth) + 1
        case character if character == escape:
            return min(at + 2, len(text))
    return at + 1


def _closing(text: str, opened: int, end: str, escape: str, depth: int = 0) -> int:
    at = opened + 1
    while at < len(text) and text[at] != end:
        nested = end != "'" and (text.startswith("${", at) or (end == "}" and text[at] in "'\""))
        at = _after(text, at, escape, depth + 1) if nested else at + (2 if text[at] == escape else 1)
    if at >= len(text):
        raise ValueError(f"the {text[opened]} that opens at {text[opened : opened + 20]!r} is never closed")
    return at


@dataclass(slots=True, kw_only=True)
class _Lexer:
    """One word while it is read."""

    text: str
    lookup: Lookup
    escape: str
    depth: int = 0
    _at: int = 0

    def run(self) -> str:
        if self.depth > MAX_DEPTH:
            raise ValueError("variables stand in each other too deeply")
        result = self._until("")
        if len(result) > MAX_LENGTH:
            raise ValueError(f"it has more than {MAX_LENGTH} characters with its variables in place")
        return result

    def _until(self, end: str) -> str:
        parts: list[str] = []
        while self._at < len(self.text) and self.text[self._at] != end:
            parts.append(self._part(quoted=end == '"'))
        return "".join(parts)

    def _part(self, *, quoted: bool) -> str:
        character = self.text[self._at]
        self._at += 1
        if character == "$":
            return self._variable()
        if character == self.escape and self._at < len(self.text):
            return self._escaped(quoted=quoted)
        if character == "'" and not quoted:
            end = _closing(self.text, self._at - 1, "'", "")
            return self._take(end)[:-1]
        if character == '"' and not quoted:
            inside = self._until('"')
            if not self._take(self._at):
                raise ValueError('a " is never closed')
            return inside
        return "" if character == self.escape and not quoted else character

    def _escaped(self, *, quoted: bool) -> str:
        """Between double quotes only what has a meaning there is escaped."""
        character = self.text[self._at]
        self._at += 1
        return character if not quoted or character in {'"', "$", self.escape} else self.escape + character

    def _take(self, end: int) -> str:
        """What stands up to and with `end`."""
        taken = self.text[self._at : end + 1]
        self._at = end + 1
        return taken

    def _variable(self) -> str:
        if self.text.startswith("{", self._at):
            end = _closing(self.text, self._at, "}", self.escape)
            return self._braced(self._take(end)[1:-1])
        name = _NAME.match(self.text, self._at)
        if name is None:
            return "$"
        self._at = name.end()
        return self.lookup(name[0]) or ""

    def _braced(self, inside: str) -> str:
        name = _NAME.match(inside)
        if name is None:
            raise ValueError(f"${{{inside}}} names no variable")
        value = self.lookup(name[0])
        rest = inside[name.end() :]
        if not rest:
            return value or ""
        operator = _OPERATOR.match(rest)
        if operator is None:
            raise ValueError(f"${{{inside}}} has an operator that the builder does not know")
        word = _Lexer(text=rest[operator.end() :], lookup=self.lookup, escape=self.escape, depth=self.depth + 1).run()
        return UNKNOWN if UNKNOWN in (value or "") else _applied(operator[0], value, word)


def _applied(operator: str, value: str | None, word: str) -> str:
    present = value is not None and (bool(value) or not operator.startswith(":"))
    match operator[-1]:
        case "-":
            return value or "" if present else word
        case "+":
            return word if present else ""
        case "?":
            if not present:
                raise ValueError(f"a variable that must be set is not: {word}")
            return value or ""
        case "/":
            pattern, _, replacement = word.partition("/")
            return _replaced(value or "", pattern, replacement, everywhere=operator == "//")
        case "#":
            return _without_start(value or "", word, longest=operator == "##")
        case _:
            return _without_start((value or "")[::-1], word[::-1], longest=operator == "%%")[::-1]


def _replaced(value: str, pattern: str, replacement: str, *, everywhere: bool) -> str:
    if not pattern:
        return value
    return _glob(pattern, value, longest=True).sub(lambda _: replacement, value, count=0 if everywhere else 1)


def _without_start(value: str, pattern: str, *, longest: bool) -> str:
    found = _glob(pattern, value, longest=longest).match(value)
    return value[found.end() :] if found else value


def _glob(pattern: str, value: str, *, longest: bool) -> re.Pattern[str]:
    """A pattern of `*` and `?`. What stands between two stars is taken where it comes first, and never tried again."""
    if max(len(pattern), len(value)) > MAX_PATTERN:
        raise ValueError(f"a pattern, or what it is applied to, has more than {MAX_PATTERN} characters")
    first, *rest = ["".join("." if c == "?" else re.escape(c) for c in part) for part in pattern.split("*")]
    parts = [f"(?>.*?{part})" for part in rest]
    if rest and longest:
        parts[-1] = f".*{rest[-1]}"
    return re.compile(first + "".join(parts), re.DOTALL)
