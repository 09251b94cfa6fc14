"""A repository's Compose file to a typed `Stack`: load, interpolate, judge, read, and check that it all fits.

Pure: files come in as bytes, variables as a map. Callers: the worker's steps, `previewd check` and the tests.
"""

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from orchestrator.compose import dotenv
from orchestrator.compose.interpolate import interpolated
from orchestrator.compose.load import Node, load, without_resets
from orchestrator.compose.model import Build, PreviewBlock, Service, Stack
from orchestrator.compose.order import cycle
from orchestrator.compose.paths import Tree
from orchestrator.compose.policy import NETWORK, TOP, VOLUME, Rule, judge
from orchestrator.compose.preview import read_preview
from orchestrator.compose.scalars import mapping, nearest, refuse, text
from orchestrator.compose.service import Findings, Frame, read_service
from orchestrator.errors import ComposeError, Place

NAMES = (
    "compose.preview.yaml",
    "compose.preview.yml",
    "docker-compose.preview.yml",
    "docker-compose.preview.yaml",
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
)
"""Where previewd looks, in this order."""
OVERRIDES: Mapping[str, tuple[str, ...]] = {
    "compose": ("compose.override.yaml", "compose.override.yml"),
    "docker-compose": ("docker-compose.override.yml", "docker-compose.override.yaml"),
}
"""By stem: the files that Compose merges into the plain names by itself."""
_MAX_SERVICES = 50


def find(paths: Iterable[str]) -> str | None:
    """The Compose file that previewd uses, out of the paths of a repository."""
    present = frozenset(paths)
    return next((name for name in NAMES if name in present), None)


def read(files: Mapping[str, bytes], path: str, variables: Mapping[str, str]) -> Stack:
    """The stack that the Compose file at `path` describes.

    `files` is the whole repository (its values may be read lazily); `variables` win over the repository's `.env`.
    Raises ComposeError for the first thing that previewd does not take.
    """
    if path not in files:
        raise ComposeError(Place(file=path), "there is no such file in the repository", f"Add {path}.")
    _refuse_override(files, path)
    folder = posixpath.dirname(path)
    findings = Findings()
    known = {**_dotenv(files, posixpath.join(folder, ".env"), variables, findings), **variables}
    root, missing = interpolated(without_resets(load(files[path], path)), known)
    findings.warnings.extend(
        f"{place}: the variable {name} has no value; it is read as empty." for name, place in missing.items()
    )
    return _stack(root, Tree(files=files), known, findings)


def _refuse_override(files: Mapping[str, bytes], path: str) -> None:
    stem, _ = posixpath.splitext(posixpath.basename(path))
    for name in OVERRIDES.get(stem, ()):
        other = posixpath.join(posixpath.dirname(path), name)
        if other in files:
            raise ComposeError(
                Place(file=other),
                f"Compose merges this file into {path}, and previewd does not do so yet",
                "Write the preview's stack into compose.preview.yaml, which stands alone.",
            )


def _dotenv(
    files: Mapping[str, bytes], path: str, variables: Mapping[str, str], findings: Findings
) -> Mapping[str, str]:
    if path not in files:
        return {}
    found = dotenv.parse(files[path], path, variables)
    findings.warnings.extend(f"{path}: the variable {name} has no value." for name in sorted(found.missing))
    return found.values


def _stack(root: Node, tree: Tree, variables: Mapping[str, str], findings: Findings) -> Stack:
    keys, notes = judge("top", root, TOP)
    findings.notes.extend(notes)
    sections = {key: child for key, child in mapping(root, "services:").items() if key in keys}
    if "services" not in sections or not sections["services"].value:
        raise refuse(root, "the file has no services", "Add a `services:` section with one service at least.")
    findings.warnings.extend(_misspelt(root))
    block = mapping(root).get("x-preview")
    preview = PreviewBlock() if block is None or block.value is None else read_preview(block)
    frame = Frame(
        tree=tree,
        folder=posixpath.dirname(root.place.file),
        variables=variables,
        volumes=_declared(sections.get("volumes"), VOLUME, "local", findings),
        networks=_declared(sections.get("networks"), NETWORK, "bridge", findings) | {"default"},
    )
    if len(frame.networks) > 1:
        findings.notes.append(f"{sections['networks'].place}: all services of a preview share one network.")
    services = _services(sections["services"], frame, findings)
    enabled = _enabled(services, preview, variables)
    _check_references(enabled, services)
    return Stack(
        path=root.place.file,
        services=_with_shared_builds(enabled),
        networks=tuple(sorted({name for service in enabled.values() for name in service.networks})),
        volumes=tuple(sorted({m.source for s in enabled.values() for m in s.volumes if m.kind == "volume"})),
        preview=_checked(preview, root, services),
        warnings=tuple(dict.fromkeys(findings.warnings)),
        notes=tuple(dict.fromkeys(findings.notes)),
    )


def _misspelt(root: Node) -> Iterator[str]:
    """Compose allows any `x-` key, so a misspelt `x-preview` would do nothing and say nothing."""
    for key, child in mapping(root).items():
        if key != "x-preview" and key.startswith("x-") and nearest(key, ["x-preview"], 0.8):
            yield f"{child.place}: `{key}` does nothing; did you mean `x-preview`?"


def _services(node: Node, frame: Frame, findings: Findings) -> Mapping[str, Service]:
    found = mapping(node)
    if len(found) > _MAX_SERVICES:
        raise refuse(node, f"{len(found)} services; the limit is {_MAX_SERVICES}", "Leave some out of the preview.")
    for name, child in found.items():
        if not name or not all(letter.isascii() and (letter.isalnum() or letter in "._-") for letter in name):
            raise refuse(child, f"`{name}` is not a service's name", "Use letters, digits, `.`, `-` and `_`.")
    return {name: read_service(name, child, frame, findings) for name, child in found.items()}


def _declared(node: Node | None, table: Mapping[str, Rule], driver: str, findings: Findings) -> frozenset[str]:
    """The names of a `volumes` or `networks` section, each entry held against its table."""
    if node is None or node.value is None:
        return frozenset()
    for child in mapping(node, "data:").values():
        if child.value is None:
            continue
        keys, notes = judge("", child, table)
        findings.notes.extend(notes)
        if "driver" in keys and (given := mapping(child)["driver"]).value not in (None, driver, "default"):
            raise refuse(given, f"the driver `{given.value}` is not allowed in a preview", "Remove `driver`.")
    return frozenset(mapping(node))


def _enabled(
    services: Mapping[str, Service], preview: PreviewBlock, variables: Mapping[str, str]
) -> Mapping[str, Service]:
    """The services that start: those without a profile, with an active one, or named by `x-preview`."""
    active = frozenset(filter(None, variables.get("COMPOSE_PROFILES", "").split(",")))
    named = {preview.service, preview.database.service}
    return {
        name: service
        for name, service in services.items()
        if not service.profiles or "*" in active or service.profiles & active or name in named
    }


def _check_references(enabled: Mapping[str, Service], services: Mapping[str, Service]) -> None:
    for service in enabled.values():
        for name, dependency in service.depends_on.items():
            if name in enabled or (name in services and not dependency.required):
                continue
            place = replace(service.place, path=f"{service.place.path}.depends_on")
            if name in services:
                raise ComposeError(
                    place,
                    f"`{name}` has a profile that is not active, so it does not start",
                    f"Add its profile to COMPOSE_PROFILES in .env, or `required: false` to the dependency on {name}.",
                )
            raise ComposeError(
                place, f"there is no service `{name}`", nearest(name, services) or "Remove the dependency."
            )
    if circle := cycle(enabled):
        raise ComposeError(
            enabled[circle[0]].place,
            f"services wait for each other in a circle: {' -> '.join(circle)}",
            "Remove one of these dependencies.",
        )


def _with_shared_builds(services: Mapping[str, Service]) -> Mapping[str, Service]:
    """A service that only names an image which another one builds runs that build, not an image of a registry."""
    builds = dict(_named_builds(services))
    return {
        name: replace(service, build=builds[service.image])
        if service.build is None and service.image in builds
        else service
        for name, service in services.items()
    }


def _named_builds(services: Mapping[str, Service]) -> Iterator[tuple[str | None, Build]]:
    for service in services.values():
        if service.build is not None and service.image is not None:
            yield service.image, service.build


def _checked(preview: PreviewBlock, root: Node, services: Mapping[str, Service]) -> PreviewBlock:
    if preview.service is not None and preview.service not in services:
        node = mapping(mapping(root)["x-preview"])["service"]
        raise refuse(
            node,
            f"there is no service `{text(node)}`",
            nearest(text(node), services) or f"Name one of {', '.join(services)}.",
        )
    return preview
