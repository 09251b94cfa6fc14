"""What previewd would do with a checkout: every refusal that can be found, and what becomes of the rest.

Pure: files come in as a mapping, as for the Compose language. `previewd check` calls it, without an Engine, with
facts of a pull request that does not exist.
"""

import contextlib
import posixpath
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

from orchestrator.codebase.contents import Overlay
from orchestrator.codebase.dockerfile import base_images
from orchestrator.compose.database import Forms, Rewrite
from orchestrator.compose.engine.capped import capped
from orchestrator.compose.engine.request import ServiceLimits
from orchestrator.compose.generated import COMPOSE_FILE, Generated, missing_compose_file, missing_dockerfiles
from orchestrator.compose.inject import Facts, injected
from orchestrator.compose.model import DatabaseMode, Service, Stack
from orchestrator.compose.policy.judge import verdicts
from orchestrator.compose.policy.keys import Word
from orchestrator.compose.prepare import Prepared, prepare
from orchestrator.compose.project.consistency import check_service
from orchestrator.compose.project.project import Project, project
from orchestrator.compose.route import Route
from orchestrator.compose.services.service import Findings, Frame, read_service
from orchestrator.compose.services.stack import find, starting
from orchestrator.compose.services.x_preview import declared_secrets
from orchestrator.compose.syntax.interpolate import interpolated
from orchestrator.compose.syntax.load import Node, load, without_resets
from orchestrator.preview.errors import AuthorError, BuildError, ComposeError, Place

GENERATED = "generated-once-per-preview"
"""Stands for the value of each secret that previewd makes."""
_SAID = re.compile(
    r"(?P<file>\S[^:]*?)(?::(?P<line>\d+))?(?::(?P<column>\d+))?(?: (?P<path>\S+))?: (?P<message>.*)", re.DOTALL
)
_MOST_REFUSALS = 50
_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_SET = re.compile(r"^\s*(?:export\s+)?([A-Za-z_]\w*)\s*[=:]", re.MULTILINE)
"""The names that a file of variables sets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something to tell about one place."""

    place: Place
    message: str
    remedy: str = ""
    word: Word | None = None
    """What the policy says to the key at the place, where it is the policy that speaks."""
    quoted: str = ""
    """The file's own line there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One service that starts, and where its image comes from."""

    service: str
    image: str | None = None
    """What is pulled; None where the image is built."""
    context: str | None = None
    dockerfile: str | None = None
    """The path in the repository."""
    base_images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """How the stack gets its Postgres."""

    mode: DatabaseMode
    replaces: str | None = None
    """The service, or bare host name, whose place it takes."""
    rewrites: tuple[Rewrite, ...] = ()
    conditions: tuple[str, ...] = ()
    """What the previews' server must have for it; without one of these the stack's own container is kept."""
    forms: Forms | None = None
    """Of the variables that previewd gives; None where it gives none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that `previewd check` tells. Without refusals the stack would start; `route` is then known."""

    path: str
    url: str
    refusals: tuple[Finding, ...] = ()
    changes: tuple[Finding, ...] = ()
    """What previewd does differently from Compose, on purpose."""
    warnings: tuple[Finding, ...] = ()
    """What is missing and may break the application."""
    containers: tuple[Container, ...] = ()
    route: Route | None = None
    database: Database | None = None
    unset: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By service: the variables that nobody sets."""
    generated: tuple[Generated, ...] = ()
    """The files that the repository lacks, and that previewd makes of what it recognised."""

    @property
    def accepted(self) -> bool:
        """Whether previewd would start it."""
        return not self.refusals


def check(files: Mapping[str, bytes], path: str | None, facts: Facts, limits: ServiceLimits) -> Report:
    """The report on the Compose file at `path`, or on the one that previewd would find, under an operator's limits."""
    path = path or find(files)
    if path is not None:
        return _checked(files, path, facts, limits)
    try:
        generated = missing_compose_file(files)
    except AuthorError as error:
        nothing = Finding(place=Place(file=COMPOSE_FILE), message=error.message, remedy=error.remedy)
        return Report(path=COMPOSE_FILE, url=facts.url, refusals=(nothing,))
    report = _checked(Overlay(files, generated.path, generated.text.encode()), generated.path, facts, limits)
    return replace(report, generated=(generated, *report.generated))


def _checked(files: Mapping[str, bytes], path: str, facts: Facts, limits: ServiceLimits) -> Report:
    report, refusals = Report(path=path, url=facts.url), _refused_parts(files, path, facts)
    try:
        facts = replace(facts, secrets={**_secrets(files, path), **facts.secrets})
        prepared = prepare(files, path, facts)
        stack, generated = missing_dockerfiles(files, prepared.stack)
        refusals.extend(_missing_dockerfiles(files, stack))
        stack = replace(stack, notes=(*stack.notes, *capped(stack, limits)))
        report = replace(_accepted(report, files, replace(prepared, stack=stack), facts), generated=generated)
    except ComposeError as error:
        refusals.append(_finding(error))
    unique = {(found.place.file, found.place.line, found.place.column): found for found in reversed(refusals)}
    return replace(report, refusals=_quoted(files, (unique[key] for key in sorted(unique))))


def without_ignored(report: Report, ignored: Mapping[str, bytes]) -> Report:
    """The report, and a warning for each file that git ignores, by its path, which a preview would read if it could."""
    told = [*(found.message for found in (*report.refusals, *report.warnings)), *sum(report.unset.values(), ())]
    words = frozenset(re.findall(r"\w+", " ".join(told)))
    warnings = [_ignored(path, content, words) for path, content in ignored.items()]
    return replace(report, warnings=(*warnings, *report.warnings))


def _ignored(path: str, content: bytes, words: frozenset[str]) -> Finding:
    names = [name for name in dict.fromkeys(_SET.findall(content.decode(errors="replace"))) if name in words]
    so = f", and {', '.join(names)} {'has' if len(names) == 1 else 'have'} no value" if names else ""
    return Finding(place=Place(file=path), message=f"`{path}` is ignored by git: a preview will not have it{so}.")


def _refused_parts(files: Mapping[str, bytes], path: str, facts: Facts) -> list[Finding]:
    """Every key and value that is refused by itself: reading ends at the first one."""
    missing: list[ComposeError] = []
    try:
        found = project(files, path, injected(facts), forgiven=missing)
    except ComposeError:
        return [*map(_finding, missing[:_MOST_REFUSALS]), *_refused_keys(_as_written(files, path, facts))]
    active = starting(found)
    keys = _refused_keys(found.with_only(active))
    refused, frame = {each.place for each in keys}, Frame.of(found)
    allowed = {name: _allowed(node, refused) for name, node in active.items()}
    values = (finding for name in allowed for finding in _refused_values(name, found, allowed, frame))
    return [*map(_finding, missing[:_MOST_REFUSALS]), *keys, *islice(values, _MOST_REFUSALS)]


def _as_written(files: Mapping[str, bytes], path: str, facts: Facts) -> Node | None:
    """The main file alone, where what it is merged with cannot be read."""
    try:
        return interpolated(without_resets(load(files[path], path)), injected(facts), [])[0]
    except (ComposeError, KeyError):
        return None


def _refused_keys(root: Node | None) -> list[Finding]:
    refused = (each for each in verdicts(root) if each.refused) if root is not None else iter(())
    return [
        Finding(place=each.place, message=each.message, remedy=each.remedy, word=each.word)
        for each in islice(refused, _MOST_REFUSALS)
    ]


def _allowed(service: Node, refused: Collection[Place]) -> Node:
    """The service without its keys that are refused: what stands below those is not looked at."""
    if not isinstance(service.value, dict):
        return service
    return replace(service, value={key: node for key, node in service.value.items() if node.place not in refused})


def _refused_values(name: str, found: Project, active: Mapping[str, Node], frame: Frame) -> Iterator[Finding]:
    """What stands in the way of reading a service."""
    told, rest = _told(active[name], lambda node: check_service(node, found, active))
    yield from told
    yield from _told(rest, lambda node: read_service(name, node, frame, Findings()))[0]


def _told(service: Node, read: Callable[[Node], object]) -> tuple[list[Finding], Node]:
    """Each thing that is refused is left out once it is told, and reading tried again; and what is left then."""
    told, node = [], service
    for _ in range(_MOST_REFUSALS):
        try:
            read(node)
        except ComposeError as error:
            if node is service or error.place != node.place:  # else it misses what was left out
                told.append(_finding(error))
            left = _without(node, error.place)
            if left is None or left is node:
                break
            node = left
        except KeyError:
            break  # what was left out cannot be missing, so reading cannot go on
        else:
            break
    return told, node


def _without(node: Node, place: Place) -> Node | None:
    """The tree without what stands at a place, and without the whole item if that is in a list. None for nothing."""
    if node.place == place:
        return None
    if isinstance(node.value, dict):
        kept = {key: _without(child, place) for key, child in node.value.items()}
        pairs = {key: child for key, child in kept.items() if child is not None}
        return node if pairs == node.value else replace(node, value=pairs)
    if isinstance(node.value, tuple):
        items = tuple(item for item in node.value if _without(item, place) is item)
        return node if items == node.value else replace(node, value=items)
    return node


def _secrets(files: Mapping[str, bytes], path: str) -> Mapping[str, str]:
    """The secrets that previewd would make for the preview."""
    declared = declared_secrets(files, path) if path in files else ()
    return dict.fromkeys(("JWT_SECRET", *declared), GENERATED)


def _accepted(report: Report, files: Mapping[str, bytes], prepared: Prepared, facts: Facts) -> Report:
    stack = prepared.stack
    root = project(files, report.path, injected(facts)).root
    words = {f"{each.place}: {each.message}": each.word for each in verdicts(root)}
    return replace(
        report,
        route=prepared.route,
        changes=_quoted(files, (replace(_said(note), word=words.get(note)) for note in stack.notes)),
        warnings=_quoted(files, map(_said, stack.warnings)),
        containers=tuple(_container(files, service) for service in stack.services.values()),
        database=_database(prepared),
        unset={name: tuple(sorted(service.unset)) for name, service in stack.services.items() if service.unset},
    )


def _container(files: Mapping[str, bytes], service: Service) -> Container:
    build = service.build
    if build is None:
        return Container(service=service.name, image=service.image)
    path = _dockerfile(service)
    lines = files.get(path, b"") if build.dockerfile_inline is None else build.dockerfile_inline.encode()
    with contextlib.suppress(BuildError):  # there is none, or the build step will say what is wrong with it
        images = base_images(lines.decode(errors="replace"), dict(build.args), build.target, path)
        return Container(service=service.name, context=build.context, dockerfile=path, base_images=tuple(images))
    return Container(service=service.name, context=build.context, dockerfile=path)


def _dockerfile(service: Service) -> str:
    if service.build is None or service.build.dockerfile_inline is not None:
        return "dockerfile_inline"
    return posixpath.normpath(posixpath.join(service.build.context, service.build.dockerfile))


def _missing_dockerfiles(files: Mapping[str, bytes], stack: Stack) -> Iterator[Finding]:
    for service in stack.services.values():
        if service.build is None or service.build.dockerfile_inline is not None or _dockerfile(service) in files:
            continue
        remedy = "Add it, or name another as `build.dockerfile`."
        message = f"there is no {_dockerfile(service)} in the repository"
        yield Finding(place=service.place, message=message, remedy=remedy)


def _database(prepared: Prepared) -> Database | None:
    """None where nothing in the stack has to do with Postgres."""
    placed = prepared.database
    if placed.mode is not DatabaseMode.MANAGED:
        return Database(mode=placed.mode)
    if placed.replaces is None and not prepared.rewrites:
        return None
    return Database(
        mode=placed.mode,
        replaces=placed.replaces,
        rewrites=prepared.rewrites,
        conditions=placed.needs.conditions(),
        forms=prepared.forms,
    )


def _finding(error: ComposeError) -> Finding:
    return Finding(place=error.place, message=error.what, remedy=error.remedy)


def _said(sentence: str) -> Finding:
    """A note or a warning of the Compose language, which begin with their place."""
    match = _SAID.fullmatch(sentence)
    if match is None:
        return Finding(place=Place(file=""), message=sentence)
    line, column = int(match["line"] or 0), int(match["column"] or 0)
    place = Place(file=match["file"], line=line, column=column, path=match["path"] or "")
    return Finding(place=place, message=match["message"])


def _quoted(files: Mapping[str, bytes], findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings, each with the line at its place, counted as YAML counts lines; empty where the place names none."""
    found = tuple(findings)
    named = {each.place.file for each in found if each.place.line and each.place.file in files}
    lines = {file: _LINE_BREAK.split(files[file].decode("utf-8-sig", errors="replace")) for file in named}
    return tuple(replace(each, quoted=_line(lines.get(each.place.file, []), each.place.line)) for each in found)


def _line(lines: list[str], number: int) -> str:
    return lines[number - 1] if 0 < number <= len(lines) else ""
