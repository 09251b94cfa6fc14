"""`.env` and `env_file` as Compose reads them: quotes, `export`, comments, variables, values over several lines.

Pure. `sources` calls it for the repository's `.env` and for every `env_file`; `substitute` gives the variables.
"""

import re
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.compose.syntax.interpolate import MAX_TOTAL, substitute
from orchestrator.compose.syntax.load import MAX_BYTES, not_utf8
from orchestrator.preview.errors import ComposeError, Place

_ASSIGNMENT = re.compile(r"(?:export[ \t]+)?(?P<key>[\w.\[\]-]*)[ \t]*(?P<sign>[=:])[ \t]*")
_BARE_NAME = re.compile(r"(?:export[ \t]+)?(?P<key>[\w.\[\]-]+)[ \t]*(?:\n|$)")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_SINGLE = re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL)
_ESCAPES: Mapping[str, str] = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "'": "'", "$": "$$"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dotenv:
    """What a file sets, the variables that each value mentioned, and the names that nobody sets."""

    values: Mapping[str, str]
    mentioned: Mapping[str, frozenset[str]]
    missing: frozenset[str]


def parse(data: bytes, file: str, variables: Mapping[str, str]) -> Dotenv:
    """Reads a file. A variable in a value comes from `variables`, else from a line above it."""
    _check_size(data, file)
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise not_utf8(error, file) from error
    reader = _Reader(text=text, file=file, variables=variables)
    reader.run()
    return Dotenv(values=reader.values, mentioned=reader.mentioned, missing=frozenset(reader.missing))


def parse_raw(data: bytes, file: str) -> Dotenv:
    """Reads a file of `format: raw`: everything after the first `=` is the value, quotes and `$` included."""
    _check_size(data, file)
    values: dict[str, str] = {}
    for number, line in enumerate(data.decode("utf-8-sig", "replace").splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        key, sign, value = line.partition("=")
        if not sign or not key.strip():
            place = Place(file=file, line=number)
            raise ComposeError(place, "this line is not NAME=VALUE", "Write NAME=VALUE, or # before a comment.")
        values[key.strip()] = value
    return Dotenv(values=values, mentioned={}, missing=frozenset())


def _check_size(data: bytes, file: str) -> None:
    if len(data) > MAX_BYTES:
        raise ComposeError(
            Place(file=file), f"the file has {len(data)} bytes; the limit is {MAX_BYTES}", "Move data out of it."
        )


@dataclass(slots=True, kw_only=True)
class _Reader:
    """Goes through the text once; `position` is where the next statement starts."""

    text: str
    file: str
    variables: Mapping[str, str]
    position: int = 0
    values: dict[str, str] = field(default_factory=dict)
    mentioned: dict[str, frozenset[str]] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    _known: ChainMap[str, str] = field(init=False)
    """The variables given, and below them those that the lines so far have set."""
    _length: int = 0
    _counted: tuple[int, int] = (0, 1)
    """A position in the text, and the number of its line."""

    def __post_init__(self) -> None:
        self._known = ChainMap(dict(self.variables), self.values)

    def run(self) -> None:
        while self._skip_blank():
            if (bare := _BARE_NAME.match(self.text, self.position)) is not None:
                self._inherit(bare["key"])
                self.position = bare.end()
            elif (sign := _ASSIGNMENT.match(self.text, self.position)) is not None and sign["key"]:
                self.position = sign.end()
                self._assign(sign["key"])
            else:
                raise self._error("this line is not NAME=VALUE", "Write NAME=VALUE, or start the line with #.")

    def _skip_blank(self) -> bool:
        """Moves over white space and comments; false at the end of the text."""
        while self.position < len(self.text):
            if self.text[self.position].isspace():
                self.position += 1
            elif self.text[self.position] == "#":
                self.position = self._line_end()
            else:
                return True
        return False

    def _inherit(self, key: str) -> None:
        """A name without `=` passes the variable of that name on, if it has a value."""
        if key in self.variables:
            self.values[key] = self.variables[key]
            self.mentioned[key] = frozenset({key})

    def _assign(self, key: str) -> None:
        quote = self.text[self.position : self.position + 1]
        if quote == "'":
            self.values[key] = self._quoted(_SINGLE).replace("\\'", "'")
        elif quote == '"':
            self._substitute(key, _unescaped(self._quoted(_DOUBLE)))
        else:
            self._substitute(key, self._unquoted())

    def _substitute(self, key: str, template: str) -> None:
        place = Place(file=self.file, line=self._line(), path=key)
        result = substitute(template, self._known, place)
        self._spend(len(result.text))
        self.values[key] = result.text
        self.missing |= result.missing
        if result.mentioned:
            self.mentioned[key] = result.mentioned

    def _spend(self, length: int) -> None:
        self._length += length
        if self._length > MAX_TOTAL:
            raise self._error(f"the file sets more than {MAX_TOTAL} characters", "Use shorter values.")

    def _quoted(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.position)
        if found is None:
            raise self._error("a quote is opened and never closed", "Close the quote.")
        self.position = found.end()
        return found[1]

    def _unquoted(self) -> str:
        line = self.text[self.position : self._line_end()]
        self.position = self._line_end()
        # Only a blank before # starts a comment, and only after a value: `A=#x`, `A= # x` and `A=x#y` hold none.
        return line.split(" #", 1)[0].strip()

    def _line_end(self) -> int:
        end = self.text.find("\n", self.position)
        return len(self.text) if end < 0 else end

    def _line(self) -> int:
        start, line = self._counted
        line += self.text.count("\n", start, self.position)
        self._counted = (self.position, line)
        return line

    def _error(self, message: str, remedy: str) -> ComposeError:
        return ComposeError(Place(file=self.file, line=self._line()), message, remedy)


def _unescaped(text: str) -> str:
    """A backslash keeps its meaning before n, r, t, a quote, a dollar and itself; elsewhere it is a character."""
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), text, flags=re.DOTALL)
