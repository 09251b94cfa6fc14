"""One entry of `services`, from its node to a `Service`: one small reader for each key.

Pure; `stack` calls it with the long form of a service that the policy has let through and `consistency` has looked at.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.compose.model import COMMIT_VARIABLES, Build, CommitImage, Limit, Service
from orchestrator.compose.policy.keys import MAX_REPLICAS
from orchestrator.compose.policy.values import MIN_CPUS, MIN_MEMORY
from orchestrator.compose.project.paths import Tree
from orchestrator.compose.project.project import Project
from orchestrator.compose.project.sources import VariableFiles
from orchestrator.compose.services.build import read_build
from orchestrator.compose.services.environment import Environment
from orchestrator.compose.services.mounts import read_mounts
from orchestrator.compose.services.readers import READERS, host_label
from orchestrator.compose.services.secrets import Granted
from orchestrator.compose.syntax.casts import integer, items, mapping, number, refuse, size, text
from orchestrator.compose.syntax.load import Node

NO_LIMIT = -1
"""How Compose writes that there is no limit."""
_SHA = re.compile(r"(?<![0-9a-f])[0-9a-f]{7,40}(?![0-9a-f])")
"""What may be a commit's SHA, or the start of one."""
_SAME_KIND: Mapping[str, str] = {"configs": "secrets"}
"""Of a secret and a config in one place the secret counts, as in Compose."""
_OWN_LIMITS = (("memory", "mem_limit"), ("cpus", "cpus"), ("pids", "pids_limit"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What every service of one project is read against."""

    tree: Tree
    variables: Mapping[str, str]
    variable_files: VariableFiles
    sections: Mapping[str, Mapping[str, Node]]
    """What is declared at the top: `volumes`, `networks`, `secrets` and `configs`."""
    commit_image: CommitImage = CommitImage.BUILD
    """What `x-preview.image` says."""

    @classmethod
    def of(cls, found: Project) -> "Frame":
        """The frame of a project that was read."""
        return cls(
            tree=Tree(files=found.repository),
            variables=found.variables,
            variable_files=VariableFiles(files=found.repository, variables=found.variables),
            sections={name: found.section(name) for name in ("volumes", "networks", "secrets", "configs")},
        )

    def granted(self, kind: str) -> Granted:
        """What of the `kind` a service may be given: `secret` or `config`."""
        return Granted(kind=kind, declared=self.sections[f"{kind}s"], tree=self.tree, variables=self.variables)


@dataclass(slots=True, kw_only=True)
class Findings:
    """What reading a service has to tell beside the service itself."""

    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_service(name: str, node: Node, frame: Frame, findings: Findings) -> Service:
    """The service called `name`. Raises ComposeError for every form that previewd does not take."""
    found = mapping(node)
    fields: dict[str, Any] = {key: reader(found[key]) for key, reader in READERS.items() if key in found}
    findings.warnings.extend(_dropped(found))
    if "security_opt" in found:
        _check_security(found["security_opt"])
    build = _build(found, frame, findings)
    if "volumes" in found:
        fields["volumes"] = read_mounts(found["volumes"], frame.tree)
    for kind, folder in (("secret", "/run/secrets"), ("config", "/")):
        if f"{kind}s" in found:
            fields[f"{kind}s"] = frame.granted(kind).read(found[f"{kind}s"], folder)
    _check_targets(found, fields)
    return Service(
        name=name,
        place=node.place,
        build=build,
        awaited=build is None and names_commit(found["image"], frame.variables),
        networks=_networks(found),
        network_service=_network_service(found.get("network_mode")),
        replicas=_replicas(found),
        limit=_limit(found),
        **fields,
        **_environment(found, frame, findings),
    )


def _check_targets(found: Mapping[str, Node], fields: Mapping[str, Any]) -> None:
    """Two mounts of one list are one, as in Compose; of two lists the Engine takes neither."""
    seen: dict[str, str] = {}
    for key in ("volumes", "tmpfs", "secrets", "configs"):
        given = fields.get(key, ())
        for target in given if key == "tmpfs" else (mount.target for mount in given):
            if seen.setdefault(target, key) not in (key, _SAME_KIND.get(key)):
                raise refuse(found[key], f"`{seen[target]}` mounts at `{target}` too", "Mount one of them elsewhere.")


def _build(found: Mapping[str, Node], frame: Frame, findings: Findings) -> Build | None:
    if "build" in found:
        return read_build(found["build"], frame.variables, frame.granted("secret"))
    if not names_commit(found["image"], frame.variables):
        return None
    what = f"{found['image'].place}: the image is named by the commit, so it is"
    if frame.commit_image is CommitImage.PULL:
        findings.notes.append(f"{what} pulled as soon as the repository's CI has pushed it.")
        return None
    findings.notes.append(f"{what} built from the root's Dockerfile; `x-preview: {{image: pull}}` pulls it instead.")
    return Build()


def names_commit(image: Node, variables: Mapping[str, str]) -> bool:
    """Whether an image is named by the commit: through a variable, or by seven or more digits of its SHA."""
    if image.variables & COMMIT_VARIABLES:
        return True
    commit = variables.get("GIT_SHA", "")
    return any(commit.startswith(found) for found in _SHA.findall(text(image)))


def _environment(found: Mapping[str, Node], frame: Frame, findings: Findings) -> dict[str, Any]:
    environment = Environment(files=frame.variable_files)
    if "env_file" in found:
        environment.read_files(found["env_file"])
    if "environment" in found:
        environment.read_values(found["environment"])
    findings.warnings.extend(environment.warnings)
    findings.warnings.extend(environment.absence_warnings())
    return {
        "environment": environment.values,
        "sources": environment.sources,
        "unset": frozenset(environment.unset),
        "environment_places": environment.places,
    }


def _dropped(found: Mapping[str, Node]) -> Iterator[str]:
    for node in (found[key] for key in ("command", "entrypoint") if key in found):
        if node.dropped:
            yield f"{node.place}: Compose runs no shell, so `{node.dropped}` is dropped; write [sh, -c, …] around it."


def _networks(found: Mapping[str, Node]) -> Mapping[str, tuple[str, ...]]:
    """The networks joined and the aliases there. A `container_name` resolves in Compose, so it is an alias here."""
    if "network_mode" in found:
        return {}
    named = (host_label(found["container_name"]),) if "container_name" in found else ()
    return {name: (*named, *aliases) for name, aliases in _joined(found.get("networks")).items()}


def _joined(node: Node | None) -> Mapping[str, tuple[str, ...]]:
    if node is None or not node.value:
        return {"default": ()}
    return {name: _aliases(child) for name, child in mapping(node).items()}


def _network_service(node: Node | None) -> str | None:
    if node is None:
        return None
    mode = text(node)
    if mode.startswith("service:"):
        return mode.removeprefix("service:")
    if mode != "none":
        raise refuse(node, f"`network_mode: {mode}` leaves the preview's own network", "Remove it, or use `networks`.")
    return None


def _aliases(node: Node) -> tuple[str, ...]:
    aliases = mapping(node).get("aliases") if node.value is not None else None
    return () if aliases is None else tuple(host_label(item) for item in items(aliases))


def _replicas(found: Mapping[str, Node]) -> int:
    deploy = found.get("deploy")
    node = mapping(deploy).get("replicas") if deploy is not None and deploy.value is not None else None
    node = found.get("scale", node)
    return 1 if node is None else min(integer(node, 0, 1_000_000), MAX_REPLICAS)


def _limit(found: Mapping[str, Node]) -> Limit:
    """What the container may use: the service's own keys win over `deploy.resources.limits`, as in Compose."""
    said = {**_deploy_limits(found.get("deploy")), **{key: found[name] for key, name in _OWN_LIMITS if name in found}}
    readers: Mapping[str, Callable[[Node], object]] = {"cpus": _cpus, "memory": _memory, "pids": _pids}
    values: dict[str, Any] = {key: readers[key](child) for key, child in said.items() if child.value != NO_LIMIT}
    return Limit(places={key: child.place for key, child in said.items()}, **values)


def _deploy_limits(node: Node | None) -> dict[str, Node]:
    resources = mapping(node).get("resources") if node is not None and node.value is not None else None
    limits = mapping(resources).get("limits") if resources is not None else None
    found = mapping(limits) if limits is not None else {}
    return {key: child for key, child in found.items() if not key.startswith("x-")}


def _cpus(node: Node) -> float:
    cpus = number(node)
    if 0 < cpus < MIN_CPUS:
        raise refuse(node, f"`{node.value}` is too little of a processor", f"Write {MIN_CPUS} or more.")
    return cpus


def _memory(node: Node) -> int:
    octets = size(node)
    if 0 < octets < MIN_MEMORY:
        raise refuse(node, f"`{node.value}` is too little memory for a container", "Write 6m or more.")
    return octets


def _pids(node: Node) -> int:
    return integer(node, 1, 2**31)


def _check_security(node: Node) -> None:
    for item in items(node):
        if text(item).replace("=", ":") not in ("no-new-privileges", "no-new-privileges:true"):
            raise refuse(item, f"`{item.value}` weakens the container's walls", "Remove it.")


HANDLED = frozenset(READERS) | {
    "build",
    "configs",
    "container_name",
    "cpus",
    "deploy",
    "env_file",
    "environment",
    "extends",
    "logging",
    "mem_limit",
    "network_mode",
    "networks",
    "pids_limit",
    "pull_policy",
    "pull_refresh_after",
    "scale",
    "secrets",
    "security_opt",
    "volumes",
}
"""Every key that the policy may let through; the tests hold it against the policy's table."""
