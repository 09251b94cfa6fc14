"""A command written as one string, split into words the way that Compose splits it.

Pure; `short_forms` calls it. Compose does not run a shell: it ends the command at the first unquoted `;`, `&`, `|`, `<`
or `>` without a word, so the text after it comes back too, for a warning.
"""

from dataclasses import dataclass, field

_ENDS = ";&|<>"
_ESCAPED = {"t": "\t", "n": "\n"}


def split(command: str) -> tuple[tuple[str, ...], str]:
    """The words, and the rest that Compose drops. Raises ValueError where a quote or a bracket is left open."""
    splitter = _Splitter()
    for position, character in enumerate(command):
        if not splitter.quote and not splitter.escaped and character in _ENDS:
            start = position - splitter.forget_descriptor() if character == ">" else position
            return splitter.finish(), command[start:]
        splitter.feed(character)
    return splitter.finish(), ""


@dataclass(slots=True)
class _Splitter:
    """The state between two characters. `quote` is what closes the open quote, or nothing."""

    words: list[str] = field(default_factory=list)
    current: str | None = None
    quote: str = ""
    escaped: bool = False

    def feed(self, character: str) -> None:
        if self.escaped:
            self._add(_ESCAPED.get(character, character))
            self.escaped = False
        elif character == "\\" and self.quote != "'":
            self.escaped = True
        elif self.quote:
            self._quoted(character)
        elif character in "\"'":
            self.quote = character
        elif character == "`" or (character == "(" and (self.current or "").endswith("$")):
            # Compose keeps a command substitution as text, in one word: no shell ever runs it.
            self.quote = ")" if character == "(" else character
            self._add(character)
        elif character in "()":
            raise ValueError(f"`{character}` stands outside quotes")
        elif character in " \t\r\n":
            self._end_word()
        else:
            self._add(character)

    def forget_descriptor(self) -> int:
        """Drops the word before a `>` if it starts with a digit, as in `2>file`; returns its length."""
        if self.current is None or self.current[:1] not in set("0123456789"):
            return 0
        length, self.current = len(self.current), None
        return length

    def finish(self) -> tuple[str, ...]:
        if self.quote or self.escaped:
            raise ValueError("a quote is opened and never closed")
        self._end_word()
        return tuple(self.words)

    def _quoted(self, character: str) -> None:
        self._add("" if character == self.quote and character in "\"'" else character)
        if character == self.quote:
            self.quote = ""

    def _add(self, character: str) -> None:
        self.current = (self.current or "") + character

    def _end_word(self) -> None:
        if self.current is not None:
            self.words.append(self.current)
        self.current = None
