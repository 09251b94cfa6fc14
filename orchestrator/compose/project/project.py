"""The Compose language without previewd's policy: files and variables in, one merged tree in its long form out.

Pure, and the first half of `stack`; `canonical` prints what it returns. A project holds whatever Compose would take,
denied or not: judging is the second half.
"""

import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from orchestrator.compose.project.include import layered
from orchestrator.compose.project.sources import Metered, Scope, Sources
from orchestrator.compose.schema.merge import merge
from orchestrator.compose.schema.shapes import complete, made
from orchestrator.compose.schema.specification import FILE
from orchestrator.compose.syntax.casts import mapping, refuse, text
from orchestrator.compose.syntax.interpolate import Missing
from orchestrator.compose.syntax.load import Node, load, without_resets
from orchestrator.preview.errors import ComposeError, Place

PLAIN_NAMES = frozenset({"compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"})
"""The files that Compose finds by itself, and merges an override file into."""
OVERRIDES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
"""The override files, whatever the plain one is called: Compose takes the first that exists."""
_NAMESPACES = ("network_mode", "ipc", "pid", "uts", "cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A Compose project, read and merged."""

    path: str
    """The main file."""
    repository: Mapping[str, bytes]
    """Every file of the repository: what is read of it after the project counts as part of the project."""
    folder: str
    """The project directory: a folder of the repository, `.` for its root."""
    root: Node
    """In its long form; every path is relative to the repository's root, or absolute as it was written."""
    variables: Mapping[str, str]
    """Those given, and those of the project's `.env`."""
    profiles: frozenset[str]
    files: tuple[str, ...]
    """Every Compose file that it was put together from."""
    warnings: tuple[str, ...] = ()

    def section(self, name: str) -> Mapping[str, Node]:
        """The entries of a top-level section."""
        node = mapping(self.root).get(name)
        return {} if node is None or node.value is None else mapping(node)

    def active(self, named: Collection[str] = ()) -> Mapping[str, Node]:
        """The services that start: those without a profile, with an active one, or `named`."""
        services = self.section("services")
        return {name: node for name, node in services.items() if name in named or self._is_active(node)}

    def with_only(self, services: Mapping[str, Node]) -> Node:
        """The tree with these services instead of all of them."""
        root = mapping(self.root)
        if "services" not in root:
            return self.root
        return replace(self.root, value={**root, "services": replace(root["services"], value=dict(services))})

    def _is_active(self, service: Node) -> bool:
        profiles = mapping(service).get("profiles") if isinstance(service.value, dict) else None
        names = () if profiles is None or not isinstance(profiles.value, tuple) else profiles.value
        return not names or "*" in self.profiles or any(item.value in self.profiles for item in names)


def project(
    files: Mapping[str, bytes],
    path: str,
    variables: Mapping[str, str],
    profiles: Iterable[str] | None = None,
    forgiven: list[ComposeError] | None = None,
) -> Project:
    """The project of the Compose file at `path`, with its override file if it has one.

    `variables` win over the `.env` beside the file. `profiles` default to COMPOSE_PROFILES. With `forgiven`, required
    variables without a value are read as empty and their errors put there.
    Raises ComposeError for the first thing that Compose would not read, and for more files than one project may need.
    """
    if path not in files:
        raise ComposeError(Place(file=path), "there is no such file in the repository", f"Add {path}.")
    folder = posixpath.dirname(path) or "."
    sources = Sources(files=Metered(files), forgiven=forgiven)
    known = {**_dotenv(sources, folder, variables), **variables}
    scope = Scope(folder=folder, variables=known)
    root = without_resets(layered((path, *_overrides(files, path)), scope, sources))
    if not mapping(root):
        raise refuse(root, "the file is empty", "Give it a `services:` section.")
    complete(root, FILE)
    asked = known.get("COMPOSE_PROFILES", "").split(",") if profiles is None else profiles
    return Project(
        path=path,
        repository=sources.files,
        folder=folder,
        root=_with_implied(root),
        variables=known,
        profiles=frozenset(filter(None, asked)),
        files=tuple(dict.fromkeys(sources.read)),
        warnings=(*sources.warnings, *_missing(sources.missing)),
    )


def extension(files: Mapping[str, bytes], path: str, key: str) -> Node | None:
    """A top-level `x-…` key of the project at `path` as it is written, merged as in the project itself.

    For what must be known before variables have values. An included file's own `x-…` keys are no part of a project.
    """
    merged: Node | None = None
    for each in (path, *_overrides(files, path)):
        root = load(files[each], each)
        if key in mapping(root):
            alone = replace(root, value={key: mapping(root)[key]})
            merged = alone if merged is None else merge(merged, alone, FILE)
    return None if merged is None else mapping(without_resets(merged)).get(key)


def _missing(names: Missing) -> Iterator[str]:
    for name, place in names.items():
        yield f"{place}: the variable {name} has no value; it is read as empty."


def _overrides(files: Mapping[str, bytes], path: str) -> tuple[str, ...]:
    folder, name = posixpath.split(path)
    if name not in PLAIN_NAMES:
        return ()
    beside = (posixpath.join(folder, other) for other in OVERRIDES)
    return tuple(other for other in beside if other in files)[:1]


def _dotenv(sources: Sources, folder: str, variables: Mapping[str, str]) -> Mapping[str, str]:
    path = posixpath.normpath(posixpath.join(folder, ".env"))
    return sources.dotenv(path, variables) if path in sources.files else {}


def _with_implied(root: Node) -> Node:
    """The tree with the dependencies that links, shared namespaces and shared volumes imply."""
    services = mapping(root).get("services")
    if services is None or not isinstance(services.value, dict):
        return root
    found = {name: _depending(child) for name, child in services.value.items()}
    return replace(root, value={**mapping(root), "services": replace(services, value=found)})


def _depending(service: Node) -> Node:
    if not isinstance(service.value, dict):
        return service
    implied = _implied(service.value)
    if not implied:
        return service
    written = service.value.get("depends_on")
    node = made({}, service) if written is None else written
    node = replace(node, value={**implied, **mapping(node)})
    return replace(service, value={**service.value, "depends_on": node})


def _implied(service: Mapping[str, Node]) -> dict[str, Node]:
    found: dict[str, Node] = {}
    for item in _listed(service.get("links")):
        found.setdefault(text(item).partition(":")[0], _started(item, restart=True))
    for key in _NAMESPACES:
        node = service.get(key)
        if node is not None and isinstance(node.value, str) and node.value.startswith("service:"):
            found.setdefault(node.value.removeprefix("service:"), _started(node, restart=True))
    for item in _listed(service.get("volumes_from")):
        name, _, _ = text(item).partition(":")
        if name != "container":
            found.setdefault(name, _started(item, restart=False))
    return found


def _started(node: Node, *, restart: bool) -> Node:
    fields = {"condition": made("service_started", node), "required": made(value=True, at=node)}
    return made({**fields, **({"restart": made(value=True, at=node)} if restart else {})}, node)


def _listed(node: Node | None) -> tuple[Node, ...]:
    return node.value if node is not None and isinstance(node.value, tuple) else ()
