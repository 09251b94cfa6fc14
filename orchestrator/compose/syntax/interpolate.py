"""`$NAME` and `${NAME…}` in the values of a Compose file, from an explicit map of variables and nothing else.

Pure. `sources` runs a whole tree through `interpolated`; `dotenv` runs single values through `substitute`. The grammar
is the Compose Specification's, chapter 12, and the tests hold it against the real binary.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from orchestrator.compose.syntax.load import Node
from orchestrator.preview.errors import ComposeError, Place

MAX_DEPTH = 32
MAX_LENGTH = 64 * 1024
"""Characters of one value after substitution: nested defaults must not multiply without end."""
MAX_TOTAL = 1024 * 1024
"""Characters of all the values of one file that hold a variable, after substitution."""
Missing: TypeAlias = dict[str, Place]
"""Names that have no value, and where each is first used."""

_TOKEN = re.compile(r"\$(?:(?P<escaped>\$)|(?P<plain>[A-Za-z_][A-Za-z0-9_]*)|(?P<braced>\{))")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-?+]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Substitution:
    """A value with its variables replaced, the names that it mentioned, and those that had no value."""

    text: str
    mentioned: frozenset[str]
    missing: frozenset[str]


def substitute(template: str, variables: Mapping[str, str], place: Place) -> Substitution:
    """Replaces every variable in `template`. Raises ComposeError on a broken `${` and on `${NAME:?message}`."""
    return _substituted(_Run(variables=variables, place=place, template=template))


def interpolated(
    root: Node, variables: Mapping[str, str], forgiven: list[ComposeError] | None = None
) -> tuple[Node, Missing]:
    """The tree with every string value substituted, and where each name without a value first stood.

    With `forgiven` a required variable without a value is read as empty, and its error is put there.
    """
    tree = _Tree(variables=variables, forgiven=forgiven)
    return tree.node(root), tree.missing


@dataclass(slots=True, kw_only=True)
class _Tree:
    """One file while its values are substituted."""

    variables: Mapping[str, str]
    forgiven: list[ComposeError] | None = None
    missing: Missing = field(default_factory=dict)
    _length: int = 0

    def node(self, node: Node) -> Node:
        value = node.value
        if isinstance(value, dict):
            return replace(node, value={key: self.node(child) for key, child in value.items()})
        if isinstance(value, tuple):
            return replace(node, value=tuple(self.node(child) for child in value))
        if not isinstance(value, str) or "$" not in value:
            return node
        result = _substituted(_Run(variables=self.variables, place=node.place, template=value, forgiven=self.forgiven))
        self._spend(len(result.text), node)
        for name in sorted(result.missing):
            self.missing.setdefault(name, node.place)
        return replace(node, value=result.text, variables=result.mentioned)

    def _spend(self, length: int, node: Node) -> None:
        self._length += length
        if self._length > MAX_TOTAL:
            raise ComposeError(
                node.place,
                f"the file has more than {MAX_TOTAL} characters once its variables are replaced",
                "Use shorter values.",
            )


@dataclass(slots=True, kw_only=True)
class _Run:
    """The state of one substitution."""

    variables: Mapping[str, str]
    place: Place
    template: str
    forgiven: list[ComposeError] | None = None
    mentioned: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)

    def expand(self, text: str) -> str:
        parts: list[str] = []
        position, length = 0, len(text)
        while (token := _TOKEN.search(text, position)) is not None:
            parts.append(text[position : token.start()])
            position = token.end()
            if token["escaped"]:
                parts.append("$")
            elif token["plain"]:
                parts.append(self._value(token["plain"]))
            else:
                end = self._closing_brace(text, position)
                parts.append(self._braced(text[position:end]))
                position = end + 1
            length += len(parts[-1])
            if length > MAX_LENGTH:
                raise ComposeError(self.place, f"the value is longer than {MAX_LENGTH} characters", "Shorten it.")
        return "".join([*parts, text[position:]])

    def _braced(self, inner: str) -> str:
        name = _NAME.match(inner)
        if name is None:
            raise self._broken()
        rest = inner[name.end() :]
        if not rest:
            return self._value(name[0])
        operator = _OPERATOR.match(rest)
        if operator is None:
            raise self._broken()
        return self._apply(name[0], operator[0], rest[operator.end() :])

    def _apply(self, name: str, operator: str, argument: str) -> str:
        """One of `:-` `-` `:+` `+` `:?` `?`; with the colon an empty value counts as none."""
        self.mentioned.add(name)
        value = self.variables.get(name)
        present = value if operator[0] != ":" or value else None
        if operator[-1] == "+":
            return "" if present is None else self.expand(argument)
        if present is not None:
            return present
        if operator[-1] == "-":
            return self.expand(argument)
        why = self.expand(argument)
        error = ComposeError(
            self.place,
            f"the variable {name} is required and has no value" + (f": {why}" if why else ""),
            f"Set {name} in the repository's .env, or give a default: ${{{name}:-value}}.",
        )
        if self.forgiven is None:
            raise error
        self.forgiven.append(error)
        return ""

    def _value(self, name: str) -> str:
        self.mentioned.add(name)
        if name not in self.variables:
            self.missing.add(name)
        return self.variables.get(name, "")

    def _closing_brace(self, text: str, start: int) -> int:
        depth = 1
        position = start
        while position < len(text):
            if text.startswith("${", position):
                depth += 1
                position += 1
                if depth > MAX_DEPTH:
                    raise ComposeError(
                        self.place, f"`${{…}}` nested deeper than {MAX_DEPTH}", "Use a variable of its own."
                    )
            elif text[position] == "}":
                depth -= 1
                if depth == 0:
                    return position
            position += 1
        raise self._broken()

    def _broken(self) -> ComposeError:
        return ComposeError(
            self.place,
            f"`{self.template}` is not a valid use of `${{…}}`",
            "Write ${NAME}, ${NAME:-default} or ${NAME:?message}; write $$ for a dollar sign.",
        )


def _substituted(run: _Run) -> Substitution:
    text = run.expand(run.template)
    return Substitution(text=text, mentioned=frozenset(run.mentioned), missing=frozenset(run.missing))
