"""Which images a Dockerfile starts from. Pure.

Without a session BuildKit cannot answer a registry's challenge, not even an anonymous one, but it takes an image that
the Engine has: the build step has these pulled first.
"""

import re

_CONTINUED = re.compile(r"\\[ \t]*\r?\n")
_COMMENT = re.compile(r"^[ \t]*#.*(?:\n|$)", re.MULTILINE)
_FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?\s*$", re.IGNORECASE)
_ARG = re.compile(r"^\s*ARG\s+(\w+)(?:=(\S*))?\s*$", re.IGNORECASE)
_COPY_FROM = re.compile(r"^\s*(?:COPY|ADD|RUN)\s.*?(?:--from=|[,=]from=)([^\s,]+)", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::?-([^}]*))?\}|(\w+))")


def base_images(text: str, args: dict[str, str]) -> list[str]:
    """The images that a Dockerfile names, each once, with `args` in place; `scratch` and its own stages are none."""
    known: dict[str, str] = {}
    stages: set[str] = set()
    found: dict[str, None] = {}
    for line in _CONTINUED.sub(" ", _COMMENT.sub("", text)).splitlines():
        if argument := _ARG.match(line):
            # Only what stands before the first FROM counts there, and a later one of the same name repeats it.
            name, default = argument[1], (argument[2] or "").strip("\"'")
            known.setdefault(name, args.get(name, _filled(default, known)))
        elif start := _FROM.match(line):
            found.setdefault(_filled(start[1], known) if start[1].lower() not in stages else "")
            stages.add((start[2] or "").lower())
        elif copy := _COPY_FROM.match(line):
            source = _filled(copy[1], known)
            found.setdefault("" if source.lower() in stages or source.isdecimal() else source)
    return [image for image in found if image and image != "scratch"]


def _filled(text: str, known: dict[str, str]) -> str:
    return _VARIABLE.sub(lambda found: known.get(found[1] or found[3]) or found[2] or "", text)
