"""Reads a Dockerfile into its instructions, as BuildKit's frontend does. Pure.

Instructions remember where in the text they stand, so that `rewrite` can change them without moving a line. What a
frontend may read in two ways is refused: an instruction must not hide from the policy in what only we take for text.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from orchestrator.codebase.dockerfile import words
from orchestrator.preview.errors import BuildError, Place

KEYWORDS = frozenset(
    {"ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER"}
    | {"ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"}
)
DIRECTIVES = frozenset({"syntax", "escape", "check"})

MAX_LENGTH = 64 * 1024
"""Characters of a Dockerfile. Reading costs more than their number: everybody else's preview waits meanwhile."""

_BYTE_ORDER_MARK = "\ufeff"
_DIRECTIVE = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$")
_KEYWORD = re.compile(r"\s*([^\t\v\f\r ]+)[\t\v\f\r ]*")
_HEREDOC = re.compile(r"(\d*)<<(-?)([^<]+)")
_UNCLEAR = re.compile(r"\$\{(?![A-Za-z_]\w*+(?:\}|:?[-+][^}<]*\}))")
"""Variables beside a heredoc that not every version of the frontend reads alike."""
_SPACES = "\t\n\v\f\r "
_CONTROL = re.compile("[\0\x1c-\x1f]")
"""Characters that some languages take for spaces and others do not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """A `# name=value` line at the top of the file."""

    name: str
    """In lower case."""
    value: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A `--name=value` between an instruction's keyword and its arguments."""

    name: str
    value: str
    """Without the quotes; empty when there is none."""
    places: tuple[int, ...] = field(compare=False, repr=False)
    """Where in the file's text each of its characters stands."""

    @property
    def options(self) -> dict[str, str]:
        """The `key=value` pairs of a value like `--mount`'s, keys in lower case; the last one of a key counts."""
        pairs = (part.partition("=") for part in _comma_separated(self.value))
        return {key.strip().lower(): value for key, _, value in pairs}


@dataclass(frozen=True, slots=True, kw_only=True)
class Heredoc:
    """A text that stands below an instruction."""

    name: str
    """The line that ends it."""
    expand: bool
    """Whether variables in it are replaced: not if its name is quoted."""
    chomp: bool
    """Whether tabs at the start of its lines are taken away: `<<-`."""
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One instruction."""

    keyword: str
    """In upper case."""
    line: int
    """Its first line, counted from 1."""
    end: int
    """Its last line, heredocs included."""
    text: str
    """As it is written, heredocs included, without the last line break."""
    flags: tuple[Flag, ...] = ()
    arguments: str = ""
    """What follows the flags, in one line, quotes and variables as written."""
    heredocs: tuple[Heredoc, ...] = ()
    trigger: "Instruction | None" = None
    """The instruction that an ONBUILD keeps for later."""
    escape: str = "\\"
    flags_at: int = field(default=0, compare=False, repr=False)
    """Where in the file's text a flag can be put: right behind the keyword."""
    arguments_at: tuple[int, ...] = field(default=(), compare=False, repr=False)
    """Where in the file's text each character of `arguments` stands."""

    @property
    def effective(self) -> "Instruction":
        """What is run, now or by an image that is built on this one."""
        return self.trigger or self

    def flag(self, name: str) -> str:
        """The value of a flag; empty without it."""
        return next((flag.value for flag in self.flags if flag.name == name), "")

    @property
    def array(self) -> list[str] | None:
        """The arguments if they are a JSON array of strings. Old frontends do not mind what follows it."""
        if not self.arguments.startswith("["):
            return None
        try:
            found, _ = json.JSONDecoder().raw_decode(self.arguments)
        except (ValueError, RecursionError):
            return None
        return found if all(isinstance(part, str) for part in found) else None


def directives(text: str) -> list[Directive]:
    """The directives, as far as any frontend may read them: behind a `#!` line, indented, and the same one twice."""
    found: list[Directive] = []
    for number, line in enumerate(text.removeprefix(_BYTE_ORDER_MARK).split("\n"), start=1):
        if number == 1 and line.startswith("#!"):
            continue
        directive = _DIRECTIVE.match(line.strip())
        if directive is None:
            break
        if directive[1].lower() in DIRECTIVES:
            found.append(Directive(name=directive[1].lower(), value=directive[2], line=number))
    return found


def parse(text: str, file: str = "Dockerfile", *, heredocs: bool = True) -> tuple[Instruction, ...]:
    """The instructions of a Dockerfile. Raises BuildError that names the line of what no frontend could read.

    Without `heredocs` it is read as frontends before 1.4 do, those of old Engines, to which a heredoc's lines are
    instructions.
    """
    return tuple(_Parser(text=text, file=file, heredocs=heredocs).instructions())


def _comma_separated(text: str) -> list[str]:
    """Comma-separated values, each maybe in double quotes."""
    return [part.strip('"') for part in re.findall(r'(?:"[^"]*"|[^,"])+', text)]


@dataclass(frozen=True, slots=True)
class _Line:
    """Text that is read as one line, and where each of its characters stands in the file."""

    text: str
    at: tuple[int, ...]

    def __getitem__(self, part: slice) -> "_Line":
        return _Line(self.text[part], self.at[part])

    def stripped(self) -> "_Line":
        start = len(self.text) - len(self.text.lstrip())
        return self[start : len(self.text.rstrip())] if self.text.strip() else self[0:0]


@dataclass(slots=True, kw_only=True)
class _Parser:
    """One file while it is read, line by line."""

    text: str
    file: str
    heredocs: bool
    _lines: list[str] = field(default_factory=list)
    _starts: list[int] = field(default_factory=list)
    _next: int = 0
    _escape: str = "\\"

    def instructions(self) -> Iterator[Instruction]:
        if len(self.text) > MAX_LENGTH:
            remedy = "Move the text of heredocs into files of the repository."
            raise BuildError(f"{self.file} has more than {MAX_LENGTH >> 10} KiB", remedy)
        if control := _CONTROL.search(self.text):
            raise self._error(self.text.count("\n", 0, control.start()), "it holds a control character", "Remove it.")
        self._lines = self.text.split("\n")
        if self._lines[-1] == "":
            self._lines.pop()
        at = 0
        for line in self._lines:
            self._starts.append(at)
            at += len(line) + 1
        self._escape = self._read_escape()
        empty = True
        while self._next < len(self._lines):
            first = self._next
            joined = self._joined()
            if joined.text:
                empty = False
                yield self._instruction(joined, first)
        if empty:
            raise BuildError(f"{self.file} has no instructions", "Start it with a FROM line.")

    def _read_escape(self) -> str:
        if self.text.startswith("#!"):
            return "\\"
        escape = next((found for found in directives(self.text) if found.name == "escape"), None)
        if escape is None:
            return "\\"
        if escape.value not in {"\\", "`"}:
            raise self._error(escape.line - 1, f"{escape.value!r} is no escape character", "Use \\ or `.")
        return escape.value

    def _joined(self) -> _Line:
        """The next line with those that continue it. Comments and empty lines in between do not end it."""
        characters: list[str] = []
        at: list[int] = []
        continued = False
        while self._next < len(self._lines):
            number = self._next
            self._next += 1
            line = self._lines[number].rstrip("\r\n")
            start = self._starts[number]
            if not continued:
                bare = line.removeprefix(_BYTE_ORDER_MARK) if number == 0 else line
                bare = bare.lstrip()
                start, line = start + len(line) - len(bare), bare
            if line.lstrip().startswith("#") or (continued and not line.strip()):
                if continued:
                    continue
                break
            line, more = self._without_continuation(line)
            characters.append(line)
            at.extend(range(start, start + len(line)))
            if not more:
                break
            continued = True
        return _Line("".join(characters), tuple(at)).stripped()

    def _without_continuation(self, line: str) -> tuple[str, bool]:
        """An escape character at the end continues a line, unless another one stands before it."""
        bare = line.rstrip(" \t")
        ends = bare.endswith(self._escape) and not bare.endswith(self._escape * 2)
        return (bare[:-1], True) if ends else (line, False)

    def _instruction(self, line: _Line, first: int) -> Instruction:
        bare = self._one(line, first)
        docs = tuple(self._heredocs(line.text, bare, first)) if self.heredocs else ()
        return self._placed(bare, docs, first)

    def _placed(self, bare: Instruction, docs: tuple[Heredoc, ...], first: int) -> Instruction:
        return Instruction(
            keyword=bare.keyword,
            line=first + 1,
            end=self._next,
            text="\n".join(self._lines[first : self._next]),
            flags=bare.flags,
            arguments=bare.arguments,
            heredocs=docs,
            trigger=self._placed(bare.trigger, docs, first) if bare.trigger else None,
            escape=self._escape,
            flags_at=bare.flags_at,
            arguments_at=bare.arguments_at,
        )

    def _one(self, line: _Line, first: int, *, kept: bool = False) -> Instruction:
        """An instruction without its heredocs. One that is `kept` for later keeps none itself."""
        found = _KEYWORD.match(line.text)
        keyword = found[1].upper() if found else ""
        if found is None or keyword not in KEYWORDS:
            raise self._error(
                first, f"unknown instruction: {keyword[:80]}", "Check its spelling, or a missing \\ above."
            )
        flags, rest = _flags(line[found.end() :])
        if not all(self.text[flag.places[0] : flag.places[-1] + 1].isascii() for flag in flags):
            raise self._error(first, "its flags hold a character that is not ASCII", "Spell paths there in ASCII.")
        trigger = self._one(rest, first, kept=True) if keyword == "ONBUILD" and rest.text and not kept else None
        if trigger is not None and trigger.keyword in {"ONBUILD", "FROM", "MAINTAINER"}:
            raise self._error(first, f"ONBUILD cannot hold {trigger.keyword}")
        return Instruction(
            keyword=keyword,
            line=first + 1,
            end=first + 1,
            text=line.text,
            flags=flags,
            arguments=rest.text,
            trigger=trigger,
            escape=self._escape,
            flags_at=line.at[found.end(1) - 1] + 1,
            arguments_at=rest.at,
        )

    def _heredocs(self, line: str, instruction: Instruction, first: int) -> Iterator[Heredoc]:
        effective = instruction.effective
        if effective.keyword in {"ADD", "COPY", "RUN"} and "<<" in line:
            for found in self._heredoc_words(line, effective, first):
                chomp, name = found[2] == "-", words.expand(found[3], lambda _: "")
                content = self._content(name, chomp, first)
                yield Heredoc(name=name, expand=name == found[3], chomp=chomp, content=content)

    def _heredoc_words(self, line: str, instruction: Instruction, first: int) -> list[re.Match[str]]:
        """The words that open heredocs. Raises BuildError when frontends differ on whether there are any."""
        if not any(_HEREDOC.fullmatch(word) for word in line.split()):
            return []
        try:
            found = [match for word in words.words(line) if (match := _HEREDOC.fullmatch(word))]
            problem = _heredoc_problem(line, instruction, found)
        except ValueError as error:
            problem = str(error)
        if problem:
            raise self._error(first, problem, "Move all but `<<EOF` below that line, into the heredoc.")
        return found

    def _content(self, name: str, chomp: bool, first: int) -> str:
        start = self._next
        while self._next < len(self._lines):
            line = self._lines[self._next].rstrip("\r\n")
            self._next += 1
            if (line.lstrip("\t") if chomp else line) == name:
                return "".join(f"{line}\n" for line in self._lines[start : self._next - 1])
        raise self._error(first, f"the heredoc {name} never ends", f"Write {name} on a line of its own below it.")

    def _error(self, index: int, message: str, remedy: str = "") -> BuildError:
        return BuildError(f"{Place(file=self.file, line=index + 1)}: {message}", remedy)


def _heredoc_problem(line: str, instruction: Instruction, found: list[re.Match[str]]) -> str:
    if any("$" in match[3] for match in found):
        return "the heredoc's name holds a variable"
    if instruction.array is not None:
        return "a heredoc stands beside a JSON array"
    return "frontends differ on the ${…} beside the heredoc" if _UNCLEAR.search(line) else ""


def _flags(line: _Line) -> tuple[tuple[Flag, ...], _Line]:
    """The flags at the start, and what follows them. Their escape character is always the backslash."""
    found: list[Flag] = []
    at = _skip_spaces(line.text, 0)
    while line.text.startswith("--", at):
        end, word = _flag_word(line.text, at)
        if word == "--":
            at = end
            break
        name, _, value = word.removeprefix("--").partition("=")
        found.append(Flag(name=name.lower(), value=value, places=line.at[at:end]))
        at = _skip_spaces(line.text, end)
    return tuple(found), line[at : len(line.text)].stripped()


def _skip_spaces(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACES:
        at += 1
    return at


def _flag_word(text: str, at: int) -> tuple[int, str]:
    """One word without its quotes, and where it ends. A quote that stays open reaches to the end."""
    word: list[str] = []
    quote = ""
    while at < len(text) and (quote or text[at] not in _SPACES):
        character = text[at]
        at += 1
        if character == quote:
            quote = ""
        elif character in "'\"" and not quote:
            quote = character
        elif character == "\\":
            word.append(text[at : at + 1])
            at += 1
        else:
            word.append(character)
    return min(at, len(text)), "".join(word)
