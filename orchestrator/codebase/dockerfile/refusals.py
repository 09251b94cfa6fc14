"""What previewd refuses in a Dockerfile: what would reach out of the build, or let its author choose the builder. Pure.

Every reading that some frontend could make of the text is judged, so that nothing hides from one in what is a heredoc
to another. Images are not judged here: `base_images` names them, and the build step knows which are other previews'.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.codebase.dockerfile import words
from orchestrator.codebase.dockerfile.parser import Flag, Instruction, directives, parse
from orchestrator.codebase.dockerfile.stages import Stage, readings, stages, triggered
from orchestrator.preview.errors import Place

_FRONTEND = re.compile(
    r"(?:(?:docker\.io|index\.docker\.io|registry-1\.docker\.io)/)?docker/dockerfile:1(?:\.[0-9]+){0,2}"
    r"(?:@sha256:[0-9a-f]{64})?"
)
"""Docker's own, version 1. Not `-labs`: what that one adds on top are rights, and changes without notice."""

_URL_STARTS = ("http://", "https://", "git://", "ssh://", "git@", "github.com/")
_SCP = re.compile(r"[A-Za-z0-9._-]+@[^/:]+:")
"""`user@host:path`, which git takes for a URL."""
_NETWORKS = frozenset({"", "default", "none"})
_SECURITY = frozenset({"", "sandbox"})
_MOUNTS = frozenset({"bind", "cache", "tmpfs", "secret"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """One thing that is refused."""

    place: Place
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


def judge(text: str, args: Mapping[str, str], file: str = "Dockerfile") -> list[Refused]:
    """Everything that is refused, in the order of the file. Raises BuildError when it cannot be read at all."""
    found = dict.fromkeys([*_frontends(text, file), *_arguments(args, file)])
    for instructions in readings(text, file):
        for stage in stages(instructions, args, file=file):
            for instruction in stage.instructions:
                found.update(dict.fromkeys(_flags(instruction.effective, file)))
            found.update(dict.fromkeys(_additions(stage, file)))
    return sorted(found, key=lambda refused: refused.place.line)


def judge_triggers(triggers: Sequence[str], args: Mapping[str, str], image: str) -> list[Refused]:
    """Everything that is refused in an image's ONBUILD lines, which run as lines of the file that is built on it.

    Nothing can be put into them, so no cache of theirs can be kept to a repository: none is taken.
    """
    text = triggered(triggers)
    file = f"ONBUILD of {image}"
    caches = (_cache(flag, found, file) for found in parse(text, file) for flag in found.flags if _is_cache(flag))
    return [*judge(text, args, file), *caches]


def _is_cache(flag: Flag) -> bool:
    return flag.name == "mount" and flag.options.get("type", "").lower() == "cache"


def _cache(flag: Flag, instruction: Instruction, file: str) -> Refused:
    return Refused(
        place=Place(file=file, line=instruction.line),
        message=f"RUN --mount={flag.value} would share a cache with other repositories",
        remedy="Start from an image without it, and write the line into the Dockerfile.",
    )


def _frontends(text: str, file: str) -> Iterator[Refused]:
    for directive in directives(text):
        if directive.name == "syntax" and not _FRONTEND.fullmatch(directive.value.split()[0]):
            yield Refused(
                place=Place(file=file, line=directive.line),
                message=f"the frontend {directive.value!r} would run as part of the builder",
                remedy="Write `# syntax=docker/dockerfile:1`, or remove the line.",
            )


def _arguments(args: Mapping[str, str], file: str) -> Iterator[Refused]:
    if "BUILDKIT_SYNTAX" in args:
        yield Refused(
            place=Place(file=file),
            message="the build argument BUILDKIT_SYNTAX would choose another frontend than the file",
            remedy="Write `# syntax=docker/dockerfile:1` at the top of the Dockerfile.",
        )
    if "BUILDKIT_CACHE_MOUNT_NS" in args:
        yield Refused(
            place=Place(file=file),
            message="the build argument BUILDKIT_CACHE_MOUNT_NS would choose other caches than the repository's own",
            remedy="Remove it: every repository has caches of its own.",
        )


def _additions(stage: Stage, file: str) -> Iterator[Refused]:
    for addition in stage.additions:
        if _may_be_url(addition.expected) or _may_be_url(addition.certain):
            yield Refused(
                place=Place(file=file, line=addition.instruction.line),
                message=f"ADD of {addition.written} would be fetched by the Docker Engine, from the host's own network",
                remedy=_ADD_REMEDY,
            )


def _flags(instruction: Instruction, file: str) -> Iterator[Refused]:
    for flag in instruction.flags if instruction.keyword == "RUN" else ():
        if reason := _refused(flag):
            why, remedy = reason
            yield Refused(
                place=Place(file=file, line=instruction.line),
                message=f"RUN --{flag.name}={flag.value} {why}",
                remedy=remedy,
            )


_ADD_REMEDY = (
    "Fetch it with RUN and curl, commit the file, or write a path's `./` before its variables if it is a local file."
)


def _refused(flag: Flag) -> tuple[str, str] | None:
    """Why a flag of RUN is refused, and what to write instead."""
    match flag.name:
        case "network" if flag.value.lower() not in _NETWORKS:
            return "would give the build the host's network", "Remove the flag, or write `--network=none`."
        case "security" if flag.value.lower() not in _SECURITY:
            return "would take the sandbox away", "Remove the flag."
        case "device":
            return "would give the build a device of the host", "Remove the flag."
        case "mount":
            return _refused_mount(flag.options.get("type", "bind").lower())
        case _:
            return None


def _refused_mount(kind: str) -> tuple[str, str] | None:
    if kind == "ssh":
        return "needs an SSH agent, and previewd forwards none", "Use `--mount=type=secret` with a token."
    if kind not in _MOUNTS:
        return "is a kind of mount that previewd does not know", f"Use one of {', '.join(sorted(_MOUNTS))}."
    return None


def _may_be_url(source: str) -> bool:
    """Whether it is a URL, or could become one with the variables that follow what is known of it."""
    known, variable, _ = source.partition(words.UNKNOWN)
    lower = known.lower()
    if lower.startswith(_URL_STARTS) or _SCP.match(known):
        return True
    if not variable:
        return False
    return "/" not in known or any(start.startswith(lower) for start in _URL_STARTS)
