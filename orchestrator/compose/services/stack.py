"""A repository's Compose file to a typed `Stack`: the project as Compose reads it, judged, then read key by key.

Pure: files come in as bytes, variables as a map. Callers: the worker's steps, `previewd check` and the tests.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from orchestrator.compose.model import Build, Network, PreviewBlock, Service, Stack
from orchestrator.compose.policy.judge import judge
from orchestrator.compose.project.consistency import check
from orchestrator.compose.project.paths import inside
from orchestrator.compose.project.project import Project, project
from orchestrator.compose.services.service import Findings, Frame, read_service
from orchestrator.compose.services.x_preview import named_services, read_preview, without_effect
from orchestrator.compose.syntax.casts import boolean, mapping, nearest, refuse, text
from orchestrator.compose.syntax.load import Node

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
_MAX_SERVICES = 50
_DRIVERS: Mapping[str, str] = {"volumes": "local", "networks": "bridge"}
"""By section: the one driver that a preview may name."""


def find(paths: Iterable[str]) -> str | None:
    """The Compose file that previewd uses, out of the paths of a repository."""
    present = frozenset(paths)
    return next((name for name in NAMES if name in present), None)


def read(files: Mapping[str, bytes], path: str, variables: Mapping[str, str]) -> Stack:
    """The stack that the Compose file at `path` describes.

    `files` is the whole repository (its values may be read lazily); `variables` win over the repository's `.env`.
    Raises ComposeError for the first thing that previewd does not take.
    """
    found = project(files, path, variables)
    if not found.section("services"):
        raise refuse(found.root, "the file has no services", "Add a `services:` section with one service at least.")
    block = mapping(found.root).get("x-preview")
    preview = _preview(block, found.section("services"))
    active = starting(found)
    if len(active) > _MAX_SERVICES:
        node = mapping(found.root)["services"]
        raise refuse(node, f"{len(active)} services; the limit is {_MAX_SERVICES}", "Leave some out of the preview.")
    findings = Findings(warnings=[*found.warnings, *_misspelt(found.root)], notes=[*without_effect(block)])
    _judge(found, active, findings)
    check(found, active)
    frame = replace(Frame.of(found), commit_image=preview.image)
    services = {name: read_service(name, node, frame, findings) for name, node in active.items()}
    _check_references(services, active)
    return Stack(
        path=path,
        services=_with_shared_builds(services),
        networks=_networks(services, frame),
        volumes=tuple(sorted({m.source for s in services.values() for m in s.volumes if m.kind == "volume"})),
        preview=preview,
        warnings=tuple(dict.fromkeys(findings.warnings)),
        notes=tuple(dict.fromkeys(findings.notes)),
    )


def starting(found: Project) -> Mapping[str, Node]:
    """The services that start: those without a profile, with an active one, or named by `x-preview`."""
    return found.active(named_services(mapping(found.root).get("x-preview")))


def _preview(block: Node | None, services: Mapping[str, Node]) -> PreviewBlock:
    if block is None or block.value is None:
        return PreviewBlock()
    preview = read_preview(block)
    if preview.service is not None and preview.service not in services:
        node = mapping(block)["service"]
        remedy = nearest(text(node), services) or f"Name one of {', '.join(services)}."
        raise refuse(node, f"there is no service `{text(node)}`", remedy)
    return preview


def _judge(found: Project, active: Mapping[str, Node], findings: Findings) -> None:
    """Holds what starts, and what it may use, against the policy. A service with an inactive profile asks nothing."""
    findings.notes.extend(judge(found.with_only(active)))
    for section, driver in _DRIVERS.items():
        for node in found.section(section).values():
            _check_driver(node, driver)
    for section in ("secrets", "configs"):
        for node in found.section(section).values():
            _check_file(node)


def _check_driver(node: Node, driver: str) -> None:
    given = mapping(node).get("driver") if node.value is not None else None
    if given is not None and given.value not in ("", driver, "default"):
        raise refuse(given, f"the driver `{given.value}` is not allowed in a preview", "Remove `driver`.")


def _check_file(node: Node) -> None:
    """A file outside the repository is refused, whether a service is granted it or not."""
    file = mapping(node).get("file")
    if file is not None:
        inside(file, text(file), "")


def _misspelt(root: Node) -> Iterator[str]:
    """Compose allows any `x-` key, so a misspelt `x-preview` would do nothing and say nothing."""
    for key, child in mapping(root).items():
        if key != "x-preview" and key.startswith("x-") and nearest(key, ["x-preview"], 0.8):
            yield f"{child.place}: `{key}` does nothing; did you mean `x-preview`?"


def _networks(services: Mapping[str, Service], frame: Frame) -> Mapping[str, Network]:
    joined = sorted({name for service in services.values() for name in service.networks})
    return {name: _network(frame.sections["networks"].get(name)) for name in joined}


def _network(node: Node | None) -> Network:
    internal = mapping(node).get("internal") if node is not None and node.value is not None else None
    return Network(internal=internal is not None and boolean(internal))


def _check_references(services: Mapping[str, Service], active: Mapping[str, Node]) -> None:
    """What Compose itself does not ask of the services that another one takes something from."""
    for name, service in services.items():
        keys = mapping(active[name])
        _check_shared(keys, service, services)
        if "build" in keys:
            _check_contexts(keys["build"], services)


def _check_shared(keys: Mapping[str, Node], service: Service, services: Mapping[str, Service]) -> None:
    """What is taken over from another service's container needs that service to have one."""
    shared = [(keys["network_mode"], service.network_service)] if service.network_service else []
    for node, name in (*shared, *((keys["volumes_from"], taken.service) for taken in service.volumes_from)):
        if name in services and services[name].replicas == 0:
            what = f"`{name}` has no container to share: its scale is 0"
            raise refuse(node, what, f"Remove this, or let `{name}` start.")


def _check_contexts(build: Node, services: Mapping[str, Service]) -> None:
    """What a build takes out of another service's image needs that service to be built for this preview, too."""
    contexts = mapping(build).get("additional_contexts")
    for node in mapping(contexts).values() if contexts is not None else ():
        name = text(node).removeprefix("service:")
        if name != node.value and name not in services:
            raise refuse(
                node,
                f"`{name}` has a profile that is not active, so it is not built",
                "Add its profile to COMPOSE_PROFILES in .env, or leave `profiles` out of it.",
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
