"""What a `.dockerignore` leaves out of a build context, by the rules that Docker itself follows. Pure.

The rules are those of moby/patternmatcher as BuildKit applies them, and not gitignore's: a pattern is always
anchored at the root of the context, `*` does not cross a slash, the last pattern that matches decides, and an
exception (`!`) may bring back a file below a folder that is left out. The Dockerfile and the ignore file are files
like any other: BuildKit gets both apart from the context.
"""

import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """One line of the file."""

    text: str
    """Cleaned: no leading or trailing slash, no `.` and no `..` that could be resolved."""
    exception: bool
    """Whether it brings back what earlier patterns left out."""
    matches: Callable[[str], bool] = field(compare=False, repr=False)


@dataclass(slots=True)
class Ignore:
    """The patterns of one file, asked about paths relative to the root of the context, with forward slashes."""

    patterns: tuple[Pattern, ...]
    _folders: dict[str, tuple[bool, ...]] = field(default_factory=dict, repr=False)

    def excludes(self, path: str) -> bool:
        """Say whether the context goes without this file, link or folder."""
        return self._verdict(path, self._matched_by(posixpath.dirname(path)))[0]

    def _matched_by(self, folder: str) -> tuple[bool, ...]:
        """Which patterns match a folder or one above it. What lies inside inherits these matches."""
        if not folder:
            return (False,) * len(self.patterns)
        if folder not in self._folders:
            self._folders[folder] = self._verdict(folder, self._matched_by(posixpath.dirname(folder)))[1]
        return self._folders[folder]

    def _verdict(self, path: str, inherited: tuple[bool, ...]) -> tuple[bool, tuple[bool, ...]]:
        """Whether `path` is left out, and which patterns match it.

        A pattern that could not change the verdict is not asked, and counts as no match for what lies below: Docker
        does so, and for `docs/*.md` before `!docs` the result differs from asking it.
        """
        excluded = False
        matched: list[bool] = []
        for pattern, from_above in zip(self.patterns, inherited, strict=True):
            match = from_above or (pattern.exception == excluded and pattern.matches(path))
            matched.append(match)
            if match:
                excluded = not pattern.exception
        return excluded, tuple(matched)


def parse(text: str) -> Ignore:
    """Read a `.dockerignore`. Raises ValueError that names the line of a pattern that Docker refuses."""
    patterns: list[Pattern] = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        if line.startswith("#") or not line.strip():
            continue
        try:
            patterns.append(_parse_line(line.strip()))
        except (ValueError, re.error) as error:
            raise ValueError(f"line {number}: {line.strip()!r} is no pattern that Docker takes: {error}") from error
    return Ignore(tuple(pattern for pattern in patterns if pattern.text))


def _parse_line(line: str) -> Pattern:
    exception = line.startswith("!")
    text = line.removeprefix("!").strip()
    if exception and not text:
        raise ValueError("nothing follows the exclamation mark")
    return _pattern(_clean(text), exception=exception)


def _clean(text: str) -> str:
    """Go's `filepath.Clean`, then without the slash that would anchor it: every pattern is anchored."""
    cleaned = posixpath.normpath(text)
    rooted = cleaned.startswith("/")
    return cleaned.lstrip("/") or "/" if rooted else cleaned


def _pattern(text: str, *, exception: bool) -> Pattern:
    return Pattern(text=text, exception=exception, matches=_matcher(text))


def _matcher(text: str) -> Callable[[str], bool]:
    """Docker matches a pattern whose only wildcard is a `**` at its start by its end alone: `**foo` takes `barfoo`."""
    expression = re.compile(_expression(text), re.DOTALL)
    rest = text.removeprefix("**")
    if rest == text or _has_wildcard(rest):
        return lambda path: expression.fullmatch(path) is not None
    return lambda path: path.endswith(rest) or (rest.startswith("/") and path == rest[1:])


def _has_wildcard(text: str) -> bool:
    return any(character in text for character in "*?[]\\")


_TOKEN = re.compile(
    r"(?P<deep>(?:\*\*/?)+)|(?P<star>\*)|(?P<one>\?)|\\(?P<literal>.)"
    r"|\[(?P<set>\^?(?:\\.|[^]\\-])(?:\\.|[^]\\])*)\]|(?P<plain>.)",
    re.DOTALL,
)


_SET_OPERATOR = re.compile(r"[\[&~|]")
"""Plain characters in Go's sets, reserved in Python's."""


def _escape(match: re.Match[str]) -> str:
    return re.escape(match[0])


def _expression(text: str) -> str:
    """The regular expression of a pattern. Raises ValueError for a set that never ends and a backslash at the end."""
    parts: list[str] = []
    for token in _TOKEN.finditer(text):
        match token.lastgroup, token[0]:
            case "deep", _:
                parts.append("(?:.*/)?" if token.end() < len(text) else ".*")
            case "star", _:
                parts.append("[^/]*")
            case "one", _:
                parts.append("[^/]")
            case "literal", _:
                parts.append(re.escape(token["literal"]))
            case "set", _:
                parts.append(f"[{_SET_OPERATOR.sub(_escape, token['set'])}]")
            case _, ("[" | "\\") as open_ended:
                raise ValueError(f"{open_ended} stands alone")
            case _, character:
                parts.append(re.escape(character))
    return "".join(parts)
