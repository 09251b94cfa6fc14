"""The stages of a Dockerfile and the images that it names, its variables in place. Pure."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.codebase.dockerfile import words
from orchestrator.codebase.dockerfile.parser import Instruction, directives, parse
from orchestrator.preview.errors import BuildError, Place

PLATFORM = {
    "TARGETPLATFORM": "linux/amd64",
    "TARGETOS": "linux",
    "TARGETARCH": "amd64",
    "TARGETVARIANT": "",
    "BUILDPLATFORM": "linux/amd64",
    "BUILDOS": "linux",
    "BUILDARCH": "amd64",
    "BUILDVARIANT": "",
}
"""Variables that a FROM line can use without an ARG line."""


MAX_STAGES = 200
"""Of one Dockerfile: each may inherit all variables of the one below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A place where a Dockerfile names an image or a stage."""

    name: str
    """With variables in place, as written otherwise."""
    written: str
    instruction: Instruction
    stage: int | None = None
    """The stage that it names, None if it is an image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """A source of an ADD line."""

    written: str
    expected: str
    """With the variables that this file sets in place."""
    certain: str
    """With what ENV lines of this file set, which nothing overrides; `words.UNKNOWN` stands for all else."""
    instruction: Instruction


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What stands between two FROM lines."""

    index: int
    name: str
    """In lower case; empty without `AS`."""
    base: Reference
    instructions: tuple[Instruction, ...]
    """Without the FROM line."""
    references: tuple[Reference, ...]
    """What its COPY, ADD and RUN lines name, ONBUILD included."""
    additions: tuple[Addition, ...]


def stages(
    instructions: Sequence[Instruction], args: Mapping[str, str], *, file: str = "Dockerfile"
) -> tuple[Stage, ...]:
    """The stages in their order. Raises BuildError for a variable that the frontend cannot read."""
    reader = _Reader(args=args, file=file)
    for instruction in instructions:
        reader.take(instruction)
    return reader.stages()


def sources(instruction: Instruction) -> list[str]:
    """The stages and images that its flags name, variables as written."""
    match instruction.keyword:
        case "COPY" | "ADD":
            named = [instruction.flag("from")]
        case "RUN":
            named = [flag.options.get("from", "") for flag in instruction.flags if flag.name == "mount"]
        case _:
            named = []
    return [name for name in named if name]


def readings(text: str, file: str = "Dockerfile") -> list[tuple[Instruction, ...]]:
    """Every way in which some frontend reads this text.

    To a frontend that knows no heredocs their lines are instructions. Mostly they make no sense, and it refuses the
    file; but a heredoc can be written to make sense to it. Raises BuildError.
    """
    found = [parse(text, file)]
    if any(instruction.heredocs for instruction in found[0]):
        with contextlib.suppress(BuildError):  # such a frontend refuses it too
            found.append(parse(text, file, heredocs=False))
    return found


def base_images(text: str, args: Mapping[str, str], target: str | None = None, file: str = "Dockerfile") -> list[str]:
    """The images that a Dockerfile names, each once, the frontend of a `# syntax=` line first.

    `scratch` and its own stages are none. Stages that `target` does not need are left out. Raises BuildError.
    """
    found = dict.fromkeys(frontends(text))
    for instructions in readings(text, file):
        for stage in needed(stages(instructions, args, file=file), target):
            references = (stage.base, *stage.references)
            found.update(dict.fromkeys(reference.name for reference in references if reference.stage is None))
    return [image for image in found if image and image != "scratch"]


def triggered(triggers: Sequence[str]) -> str:
    """An image's ONBUILD lines, as a Dockerfile that can be read."""
    return "\n".join(["FROM scratch", *triggers])


def frontends(text: str) -> list[str]:
    """The images of its `# syntax=` lines: one, unless somebody wants frontends to disagree."""
    return [found.value.split()[0] for found in directives(text) if found.name == "syntax"]


def needed(found: Sequence[Stage], target: str | None) -> list[Stage]:
    """The stages that a build of `target` runs, in their order; of the last one without it.

    A name that no stage has is BuildKit's to refuse: all are needed then.
    """
    names = [stage.name for stage in found]
    wanted = len(found) - 1 if target is None else _index(names, target)
    if wanted is None and target is not None:
        wanted = _numbered(names, target)
    if wanted is None:
        return list(found)
    indexes: set[int] = set()
    waiting = [wanted] if found else []
    while waiting:
        index = waiting.pop()
        if index not in indexes:
            indexes.add(index)
            references = (found[index].base, *found[index].references)
            waiting += [reference.stage for reference in references if reference.stage is not None]
    return [stage for stage in found if stage.index in indexes]


@dataclass(slots=True, kw_only=True)
class _Open:
    """The stage that is being read."""

    name: str
    base: Reference
    variables: dict[str, str]
    settled: set[str]
    instructions: list[Instruction] = field(default_factory=list)
    named: list[tuple[str, str, Instruction]] = field(default_factory=list)
    """What flags name: with variables in place, as written, and where."""
    additions: list[Addition] = field(default_factory=list)

    def certain(self, name: str) -> str:
        return self.variables[name] if name in self.settled else words.UNKNOWN


@dataclass(slots=True, kw_only=True)
class _Reader:
    """Reads instructions in their order."""

    args: Mapping[str, str]
    file: str
    _globals: dict[str, str] = field(default_factory=lambda: dict(PLATFORM))
    _stages: list[_Open] = field(default_factory=list)

    def take(self, instruction: Instruction) -> None:
        try:
            self._take(instruction)
        except ValueError as error:
            raise BuildError(f"{Place(file=self.file, line=instruction.line)}: {error}") from error

    def stages(self) -> tuple[Stage, ...]:
        """COPY and mounts may name any stage, also a later one; FROM only one above it."""
        names = [stage.name for stage in self._stages]
        return tuple(
            Stage(
                index=index,
                name=stage.name,
                base=stage.base,
                instructions=tuple(stage.instructions),
                references=tuple(_referred(names, *named) for named in stage.named),
                additions=tuple(stage.additions),
            )
            for index, stage in enumerate(self._stages)
        )

    def _take(self, instruction: Instruction) -> None:
        if len(self._stages) > MAX_STAGES:
            raise ValueError(f"a Dockerfile of more than {MAX_STAGES} stages is not read")
        if instruction.keyword == "FROM":
            self._stages.append(self._begun(instruction))
        elif self._stages:
            self._inside(self._stages[-1], instruction)
        elif instruction.keyword == "ARG":
            self._globals |= self._assigned(instruction, self._globals)

    def _begun(self, instruction: Instruction) -> _Open:
        parts = words.words(instruction.arguments, instruction.escape)
        base = words.expand(parts[0], self._globals.get, instruction.escape) if parts else ""
        named = len(parts) > 2 and parts[1].upper() == "AS"  # noqa: PLR2004 -- FROM IMAGE AS NAME
        index = _index([stage.name for stage in self._stages], base)
        below = self._stages[index] if index is not None else None
        settled = _left_settled(below) if below else set()
        return _Open(
            name=parts[2].lower() if named else "",
            base=Reference(name=base, written=parts[0] if parts else "", instruction=instruction, stage=index),
            variables={name: below.variables[name] for name in settled} if below else {},
            settled=settled,
        )

    def _inside(self, stage: _Open, instruction: Instruction) -> None:
        stage.instructions.append(instruction)
        for source in sources(instruction.effective):
            name = words.expand(source, stage.variables.get, instruction.escape)
            stage.named.append((name, source, instruction))
        stage.additions += _additions(instruction, stage)
        if instruction.keyword == "ARG":
            values = self._assigned(instruction, stage.variables)
            stage.variables |= {name: value for name, value in values.items() if name not in stage.settled}
        elif instruction.keyword == "ENV":
            values = _environment(instruction, stage.variables)
            stage.variables |= values
            stage.settled |= values.keys()

    def _assigned(self, instruction: Instruction, known: Mapping[str, str]) -> dict[str, str]:
        """What an ARG line sets. Without a default a name takes the value of the ARG before the first FROM."""
        found: dict[str, str] = {}
        for word in words.words(instruction.arguments, instruction.escape):
            name, equals, default = word.partition("=")
            if name in self.args:
                found[name] = self.args[name]
            elif equals:
                found[name] = words.expand(default, {**known, **found}.get, instruction.escape)
            elif name in self._globals:
                found[name] = self._globals[name]
        return found


def _environment(instruction: Instruction, known: Mapping[str, str]) -> dict[str, str]:
    """`ENV A=1 B=2`, or `ENV A the rest of the line`. All values see what was set before the line."""
    parts = words.words(instruction.arguments, instruction.escape)
    if parts and "=" not in parts[0]:
        rest = instruction.arguments[len(parts[0]) :].strip()
        return {parts[0]: words.expand(rest, known.get, instruction.escape)}
    pairs = (part.partition("=") for part in parts)
    return {name: words.expand(value, known.get, instruction.escape) for name, _, value in pairs}


def _left_settled(below: _Open) -> set[str]:
    """The settled variables of a stage that those on top of it inherit: its ONBUILD lines may change some."""
    triggers = [found.trigger for found in below.instructions if found.trigger and found.trigger.keyword == "ENV"]
    return below.settled - {name for trigger in triggers for name in _environment(trigger, {})}


def _additions(instruction: Instruction, stage: _Open) -> list[Addition]:
    """What an ADD line adds, heredocs left out. One under ONBUILD sees the variables of other files."""
    effective = instruction.effective
    if effective.keyword != "ADD":
        return []
    certain = stage.certain if instruction is effective else lambda _: words.UNKNOWN
    plain = words.words(effective.arguments, effective.escape)[:-1]
    if effective.heredocs:
        plain = [word for word in plain if "<<" not in word]
    return [
        Addition(
            written=source,
            expected=words.expand(source, stage.variables.get, effective.escape),
            certain=words.expand(source, certain, effective.escape),
            instruction=instruction,
        )
        for source in [*plain, *(effective.array or [])[:-1]]
    ]


def _referred(names: Sequence[str], name: str, written: str, instruction: Instruction) -> Reference:
    """COPY knows a stage by its number too; to FROM and mounts a number is an image's name."""
    index = _index(names, name)
    if index is None and instruction.effective.keyword == "COPY":
        index = _numbered(names, name)
    return Reference(name=name, written=written, instruction=instruction, stage=index)


def _index(names: Sequence[str], name: str) -> int | None:
    found = [index for index, known in enumerate(names) if known and known == name.lower()]
    return found[-1] if found else None


def _numbered(names: Sequence[str], name: str) -> int | None:
    return int(name) if name.isascii() and name.isdecimal() and int(name) < len(names) else None
