"""Which images a Dockerfile starts from. Pure.

Without a session BuildKit cannot answer a registry's challenge, not even an anonymous one, but it takes an image that
the Engine has: the build step has these pulled first, and refuses those that belong to other previews.
"""

import re
from collections.abc import Iterator, Mapping

_CONTINUED = re.compile(r"\\[ \t]*\r?\n")
_COMMENT = re.compile(r"^[ \t]*#.*(?:\n|$)", re.MULTILINE)
_HEREDOC = re.compile(r"<<-?[\"']?(\w+)")
_FROM = re.compile(r"\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)
_ARG = re.compile(r"\s*ARG\s+(\w+)(?:=(\S*))?", re.IGNORECASE)
_FLAGS = re.compile(r"\s*(?:ONBUILD\s+)?(?:COPY|ADD|RUN)\s+((?:--\S+\s+)+)", re.IGNORECASE)
_SOURCE = re.compile(r"""(?:--|[,="'])from=["']?([^\s,"']+)""", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::?([-+])([^}]*))?\}|(\w+))")
_SYNTAX = re.compile(r"^#\s*syntax\s*=\s*(\S+)", re.IGNORECASE)


def base_images(text: str, args: Mapping[str, str]) -> list[str]:
    """The images that a Dockerfile names, each once, with `args` in place; `scratch` and its own stages are none."""
    known: dict[str, str] = {}
    stages: set[str] = set()
    found: dict[str, None] = dict.fromkeys(_frontend(text))
    for line in _instructions(text):
        if argument := _ARG.match(line):
            name, default = argument[1], (argument[2] or "").strip("\"'")
            known[name] = args.get(name, _filled(default, known) or known.get(name, ""))
        elif start := _FROM.match(line):
            if start[1].lower() not in stages:
                found.setdefault(_filled(start[1], known))
            stages.add((start[2] or "").lower())
        elif flags := _FLAGS.match(line):
            named = (_filled(source, known) for source in _SOURCE.findall(f" {flags[1]}"))
            found.update(dict.fromkeys(name for name in named if name.lower() not in stages and not name.isdecimal()))
    return [image for image in found if image and image != "scratch"]


def _frontend(text: str) -> list[str]:
    """The image of a `# syntax=` line, which must be the first."""
    named = _SYNTAX.match(text)
    return [named[1]] if named else []


def _instructions(text: str) -> Iterator[str]:
    """The lines, continued ones joined; comments and the bodies of heredocs are left out."""
    ends: list[str] = []
    for line in _CONTINUED.sub(" ", _COMMENT.sub("", text)).splitlines():
        if ends:
            ends = ends[1:] if line.strip() == ends[0] else ends
            continue
        yield line
        ends = _HEREDOC.findall(line)


def _filled(text: str, known: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: _value(known.get(found[1] or found[4], ""), found[2], found[3] or ""), text)


def _value(value: str, operator: str | None, word: str) -> str:
    match operator:
        case "-":
            return value or word
        case "+":
            return word if value else ""
        case _:
            return value
