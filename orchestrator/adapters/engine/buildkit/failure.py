"""What is said about a build that failed: the instruction and its line, why, and what to do. Pure.

The Engine's answer names neither file nor line. But BuildKit numbers the instructions of a stage that make a layer,
`[build 2/4]`, so the line is found in the Dockerfile's own text.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orchestrator.adapters.engine.faults import exhausted
from orchestrator.adapters.engine.registry_auth import SETTING, registry_of
from orchestrator.codebase.dockerfile import Directive, Instruction, directives, parse
from orchestrator.ports.engine import BuildRequest
from orchestrator.preview.errors import BuildError, OperatorError, Place, Unavailable

HEREDOC_REMEDY = (
    "The frontend of this Docker Engine knows no heredocs: use an Engine of version 23 or newer, or start the "
    "Dockerfile with `# syntax=docker/dockerfile:1`."
)

_ENGINES_FAULT = ("failed to create endpoint", "cannot allocate memory")
_REFUSED = ("401", "403", "unauthorized", "denied", "failed to authorize", "no basic auth")
_EXIT_CODE = re.compile(r"exit code: (\d+)$")
_IMAGE = re.compile(r"^(?:\[internal\] load metadata for|resolve image config for|(?:\[[^]]*\] )?FROM) (?P<image>\S+)")
_NUMBER = re.compile(r"^\[(?:\S+/\S+ +)?(?:(?P<stage>[^\s\]/]+) +)?(?P<number>\d+)/(?P<total>\d+)\] ")
_NUMBERED = frozenset({"ADD", "COPY", "RUN", "WORKDIR"})
_URL = re.compile(r"^\w+://\S+$")
_VARIABLE = re.compile(r"\$(?:\{[^}]*\}|\w+)")
_PARSE_ERROR = re.compile(r"^(?:dockerfile )?parse error (?:on )?line (\d+): ")
_WRAPPING = re.compile(
    r"^(?:failed to solve[^:]*: |rpc error: code = \w+ desc = |failed to create LLB definition: |"
    r"failed to compute cache key: |executor failed running \[.*?\]: )+"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The step that failed: its name, and the last lines that it printed."""

    name: str
    tail: tuple[str, ...]


def failure(request: BuildRequest, error: str, failed: Failed | None) -> BuildError | OperatorError | Unavailable:
    """What to raise. Without a step it is the Dockerfile as a whole that is at fault.

    The words in front of an exit code are those of the author's command: they say nothing about the Engine.
    """
    if not _EXIT_CODE.search(error) and (full := exhausted(error)):
        return full
    if any(sign in error for sign in _ENGINES_FAULT):
        return OperatorError(f"the Docker Engine cannot build: {plain(error)}")
    if failed is None or failed.name.startswith("[internal] load build definition"):
        return _not_understood(request, plain(error))
    place = Place(file=request.dockerfile_name, line=line_of(failed.name, request.dockerfile.decode(errors="replace")))
    return BuildError(f"{place}: {_told(failed.name, error)}", _remedy(failed.name, error.lower()), failed.tail)


def plain(error: str) -> str:
    """The part of a BuildKit error that its reader can act on."""
    code = _EXIT_CODE.search(error)
    return f"exit code {code[1]}" if code else _WRAPPING.sub("", error)


def line_of(step: str, dockerfile: str) -> int:
    """The line of the instruction that a step's name tells of; 0 when that cannot be told."""
    try:
        instructions = parse(dockerfile)
    except BuildError:
        return 0
    if image := _IMAGE.match(step):
        return _line_of_image(image["image"], instructions, directives(dockerfile))
    if _URL.match(step):
        return next((found.line for found in instructions if step in found.arguments.split()), 0)
    same = [instruction for instruction in instructions if _may_be(instruction, _NUMBER.sub("", step))]
    numbered = _numbered(step, instructions)
    found = numbered if numbered in same else next(iter(same), None)
    return found.line if found is not None else 0


def _may_be(instruction: Instruction, told: str) -> bool:
    """A step is called by its instruction's text, less what BuildKit has put in for variables and quotes."""
    text = instruction.text.replace(f"{instruction.escape}\n", " ")
    return _consists_of(_bare(told), [_bare(part) for part in _VARIABLE.split(text)])


def _consists_of(text: str, parts: Sequence[str]) -> bool:
    """Whether it is these parts in their order, with anything in between. A pattern would try for ever."""
    first, *more = parts
    if not more:
        return text == first
    at = len(first)
    for part in more[:-1]:
        at = text.find(part, at) + len(part)
        if at < len(part):
            return False
    return text.startswith(first) and text.endswith(more[-1]) and at + len(more[-1]) <= len(text)


def _bare(text: str) -> str:
    return re.sub(r"[\s\"'\\]", "", text).lower()


def _numbered(step: str, instructions: Sequence[Instruction]) -> Instruction | None:
    """The instruction that has the step's number in its stage, which is called by its name, or `stage-N` without one.

    It is counted from the end: before the first instruction BuildKit also counts FROM and ONBUILD's. A step that two
    builds share has the name that the other one gave it.
    """
    number = _NUMBER.match(step)
    if number is None:
        return None
    stages = _stages(instructions)
    only = next(iter(stages.values()), []) if len(stages) == 1 else []
    steps = stages.get((number["stage"] or "").lower(), only)
    back = int(number["total"]) - int(number["number"]) + 1
    return steps[-back] if 0 < back <= len(steps) else None


def _stages(instructions: Sequence[Instruction]) -> dict[str, list[Instruction]]:
    """The instructions that are numbered, by stage."""
    stages: dict[str, list[Instruction]] = {}
    steps: list[Instruction] = []
    for instruction in instructions:
        if instruction.keyword == "FROM":
            *_, before, last = ["", "", *instruction.arguments.split()]
            steps = stages[last.lower() if before.upper() == "AS" else f"stage-{len(stages)}"] = []
        elif instruction.keyword in _NUMBERED:
            steps.append(instruction)
    return stages


def _line_of_image(image: str, instructions: Sequence[Instruction], directives_: Sequence[Directive]) -> int:
    """BuildKit tells an image's full name, whatever the Dockerfile calls it."""
    short = re.sub(r"^(docker-image://)?docker\.io/(library/)?", "", image)
    names = {name for full in (image, short) for name in (full, full.removesuffix(":latest"))}
    used = [(directive.value, directive.line) for directive in directives_]
    used += [(name, instruction.line) for instruction in instructions for name in _images(instruction)]
    return next((line for name, line in used if name in names), 0)


def _images(instruction: Instruction) -> Iterator[str]:
    match instruction.keyword:
        case "FROM":
            yield from instruction.arguments.split()[:1]
        case "COPY":
            yield instruction.flag("from")
        case "RUN":
            yield from (flag.options.get("from", "") for flag in instruction.flags if flag.name == "mount")
        case _:
            return


def _told(step: str, error: str) -> str:
    """Say what failed as its author wrote it: without the number that BuildKit puts before an instruction."""
    if image := _IMAGE.match(step):
        return f"the image {image['image']} cannot be had: {plain(error)}"
    return f"`{_NUMBER.sub('', step)}` failed: {plain(error)}"


def _not_understood(request: BuildRequest, error: str) -> BuildError:
    numbered = _PARSE_ERROR.match(error)
    line = int(numbered[1]) if numbered else 0
    place = Place(file=request.dockerfile_name, line=line)
    return BuildError(f"{place}: {_PARSE_ERROR.sub('', error)}", HEREDOC_REMEDY if _in_heredoc(request, line) else "")


def _in_heredoc(request: BuildRequest, line: int) -> bool:
    """An old frontend takes the text of a heredoc for instructions."""
    try:
        instructions = parse(request.dockerfile.decode(errors="replace"))
    except BuildError:
        return False
    return any(found.heredocs and found.line < line <= found.end for found in instructions)


def _remedy(step: str, error: str) -> str:
    if image := _IMAGE.match(step):
        return _remedy_for_image(image["image"], error)
    if _URL.match(step):
        return "Check the address, and that the machine that runs previewd reaches it."
    return ""


def _remedy_for_image(image: str, error: str) -> str:
    if any(sign in error for sign in _REFUSED):
        registry = registry_of(image)
        return f"Check the image's name. If {registry} asks who we are, let {SETTING} name a file with credentials."
    if "not found" in error:
        return "Check the image's name and tag, and that it was pushed."
    return "Check that the machine that runs previewd reaches the registry, or pull the image there beforehand."
