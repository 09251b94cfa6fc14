"""Puts things into a Dockerfile without moving a line: images for named contexts, a scope for caches, mounts. Pure.

Every frontend then does what only newer ones have a setting for, and BuildKit's messages still name the right line.
Text that nothing is asked of stays as it is, octet by octet.
"""

import hashlib
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.codebase.dockerfile import words
from orchestrator.codebase.dockerfile.parser import Flag, Instruction, parse
from orchestrator.codebase.dockerfile.stages import Reference, Stage, stages

Mounts = Callable[[Instruction], Sequence[str]]
"""What to mount for one RUN instruction: values for `--mount=`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edit:
    """Put `text` at a place; the characters at `removed` go. Line breaks are never among them."""

    at: int
    text: str
    removed: tuple[int, ...] = ()


def rewrite(
    text: str,
    *,
    args: Mapping[str, str] | None = None,
    contexts: Mapping[str, str] | None = None,
    cache_scope: str = "",
    secrets: Mapping[str, str] | None = None,
    mounts: Mounts | None = None,
    file: str = "Dockerfile",
) -> str:
    """The text with what is asked for. Raises BuildError for a Dockerfile that cannot be read.

    `contexts` maps names to image references: as in BuildKit a named context comes before a stage and an image of its
    name. `cache_scope` goes before the id of every cache mount, so that no other scope can name it. `secrets` maps ids
    to those that are asked for instead: BuildKit's cache tells steps apart by a secret's id, and not by what it holds.
    `mounts` are added to RUN instructions.
    """
    instructions = parse(text, file)
    edits: list[_Edit] = []
    if contexts:
        for stage in stages(instructions, args or {}, file=file):
            edits += _named(stage, {_familiar(name): image for name, image in contexts.items()})
    for instruction in instructions:
        if instruction.effective.keyword == "RUN":
            edits += _cached(instruction.effective, cache_scope) if cache_scope else ()
            edits += _secret(instruction.effective, secrets) if secrets else ()
            edits += _mounted(instruction.effective, mounts) if mounts else ()
    return _edited(text, edits)


def _edited(text: str, edits: Sequence[_Edit]) -> str:
    removed = {place for edit in edits for place in edit.removed}
    inserted: dict[int, str] = {}
    for edit in edits:
        inserted[edit.at] = inserted.get(edit.at, "") + edit.text
    places = sorted({*removed, *inserted})
    parts: list[str] = []
    at = 0
    for place in places:
        parts += [text[at:place], inserted.get(place, "")]
        at = place + 1 if place in removed else place
    return "".join([*parts, text[at:]])


# Named contexts


def _named(stage: Stage, contexts: Mapping[str, str]) -> Iterator[_Edit]:
    if image := contexts.get(_familiar(stage.base.name)):
        yield _replaced_base(stage.base, image)
    for reference in stage.references:
        if image := contexts.get(_familiar(reference.name)):
            yield from _replaced_source(reference, image)


def _replaced_base(base: Reference, image: str) -> _Edit:
    start, end = words.spans(base.instruction.arguments, base.instruction.escape)[0]
    places = base.instruction.arguments_at[start:end]
    return _Edit(at=places[0], text=image, removed=places)


def _replaced_source(reference: Reference, image: str) -> Iterator[_Edit]:
    """COPY takes `--from` once, so that it is replaced; of a mount's options the last one counts."""
    instruction = reference.instruction.effective
    for flag in instruction.flags:
        if flag.name == "from":
            yield _Edit(at=flag.places[0], text=f"--from={image}", removed=flag.places)
        elif flag.name == "mount" and flag.options.get("from") == reference.written:
            yield _Edit(at=flag.places[-1] + 1, text=f",from={image}")


def _familiar(name: str) -> str:
    """The short form of an image's name, by which contexts are known."""
    for registry in ("docker.io/", "index.docker.io/"):
        name = name.removeprefix(registry)
    return name.removeprefix("library/").removesuffix(":latest").lower()


# Mounts


def _cached(instruction: Instruction, scope: str) -> Iterator[_Edit]:
    for flag in instruction.flags:
        if flag.name == "mount" and flag.options.get("type", "").lower() == "cache":
            yield _Edit(at=flag.places[-1] + 1, text=f",id={_cache_id(flag, scope)}")


def _cache_id(flag: Flag, scope: str) -> str:
    """BuildKit cleans ids as it cleans paths, so that `..` would lead out of the scope: their hash is taken.

    An id is the target's path if the author gave none.
    """
    options = flag.options
    return f"{scope}-{hashlib.sha256((options.get('id') or _target(options)).encode()).hexdigest()[:24]}"


def _secret(instruction: Instruction, secrets: Mapping[str, str]) -> Iterator[_Edit]:
    """The id may be called `source`, but not both. The target is called by what the author gave, if by nothing."""
    for flag in instruction.flags:
        options = flag.options
        if flag.name != "mount" or options.get("type", "").lower() != "secret":
            continue
        target = _target(options)
        key = next((key for key in ("source", "src") if key in options), "id")
        name = options.get(key, posixpath.basename(target))
        if name in secrets:
            named = "" if target or "env" in options else f",target=/run/secrets/{posixpath.basename(name)}"
            yield _Edit(at=flag.places[-1] + 1, text=f",{key}={secrets[name]}{named}")


def _target(options: Mapping[str, str]) -> str:
    return next((options[name] for name in ("target", "dst", "destination") if name in options), "")


def _mounted(instruction: Instruction, mounts: Mounts) -> Iterator[_Edit]:
    text = "".join(f" --mount={mount}" for mount in mounts(instruction))
    if text:
        yield _Edit(at=instruction.flags_at, text=text)
