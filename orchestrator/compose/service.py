"""One entry of `services`, from its node to a `Service`: policy first, then one small reader for each key.

Pure; `read` calls it. The next keys of the language get a line in a table here and a field in `model`.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.compose.build import read_build
from orchestrator.compose.environment import Environment
from orchestrator.compose.load import Node
from orchestrator.compose.model import (
    COMMIT_VARIABLES,
    Build,
    Condition,
    Dependency,
    Healthcheck,
    Limit,
    Service,
)
from orchestrator.compose.mounts import read_mounts, read_tmpfs
from orchestrator.compose.paths import Tree
from orchestrator.compose.policy import SERVICE, judge
from orchestrator.compose.ports import read_expose, read_ports
from orchestrator.compose.scalars import (
    boolean,
    check_keys,
    choice,
    duration,
    integer,
    items,
    mapping,
    nearest,
    number,
    refuse,
    scalar_text,
    size,
    strings,
    text,
    unique,
)
from orchestrator.compose.words import split

MAX_GRACE = 10.0
"""Seconds between the stop signal and the kill, so that a teardown cannot be held up."""
MIN_INTERVAL = 1.0
MAX_SHM = 1024**3
NO_LIMIT = -1
"""How Compose writes that there is no limit."""
_BARE_ID = re.compile(r"(sha256:)?[0-9a-f]{12,64}|sha256:.*")
_IMAGE = re.compile(r"[a-z0-9][\w.:/-]*(?:@sha256:[0-9a-f]{64})?")
_HOSTNAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9_])?")
_SIGNAL = re.compile(r"(SIG)?[A-Z0-9+-]{2,12}|\d{1,2}")
_PLATFORM = re.compile(r"[a-z0-9]+(/[a-z0-9]+){0,2}")
_RESTART = re.compile(r"no|always|unless-stopped|on-failure(:\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What every service of one file is read against."""

    tree: Tree
    folder: str
    """The folder of the Compose file; `.env` files, contexts and binds are relative to it."""
    variables: Mapping[str, str]
    volumes: frozenset[str]
    networks: frozenset[str]


@dataclass(slots=True, kw_only=True)
class Findings:
    """What reading a service has to tell beside the service itself."""

    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_service(name: str, node: Node, frame: Frame, findings: Findings) -> Service:
    """The service called `name`. Raises ComposeError for every key or form that previewd does not take."""
    keys, notes = judge("service", node, SERVICE)
    found = {key: child for key, child in mapping(node).items() if key in keys}
    findings.notes.extend(notes)
    fields: dict[str, Any] = {key: reader(found[key]) for key, reader in _READERS.items() if key in found}
    for key in ("command", "entrypoint"):
        fields[key] = _argv(found.get(key), findings)
    if "security_opt" in found:
        _check_security(found["security_opt"])
    if "volumes" in found:
        fields["volumes"] = read_mounts(found["volumes"], frame.tree, frame.folder, frame.volumes)
    return Service(
        name=name,
        place=node.place,
        build=_build(node, found, frame, findings),
        image_variables=found["image"].variables if "image" in found else frozenset(),
        networks=_networks(found, frame, findings),
        limit=_limit(found, findings),
        **fields,
        **_environment(found, frame, findings),
    )


def _build(node: Node, found: Mapping[str, Node], frame: Frame, findings: Findings) -> Build | None:
    if "build" in found:
        build, notes = read_build(found["build"], frame.folder, frame.variables)
        findings.notes.extend(notes)
        return build
    if "image" not in found:
        raise refuse(node, "the service has neither `image` nor `build`", "Give it one of them.")
    if found["image"].variables & COMMIT_VARIABLES:
        findings.notes.append(
            f"{found['image'].place}: the image is named by the commit, so it is built from the root's Dockerfile."
        )
        return Build()
    return None


def _environment(found: Mapping[str, Node], frame: Frame, findings: Findings) -> dict[str, Any]:
    environment = Environment(tree=frame.tree, folder=frame.folder, variables=frame.variables)
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


def _argv(node: Node | None, findings: Findings) -> tuple[str, ...] | None:
    if node is None or node.value is None:
        return None
    if not isinstance(node.value, str):
        return strings(node)
    try:
        words, dropped = split(node.value)
    except ValueError as error:
        raise refuse(node, f"this command cannot be split into words: {error}", "Write it as a list.") from error
    if dropped:
        findings.warnings.append(
            f"{node.place}: Compose runs no shell, so `{dropped}` is dropped; write [sh, -c, …] around it."
        )
    return words


def _networks(found: Mapping[str, Node], frame: Frame, findings: Findings) -> Mapping[str, tuple[str, ...]]:
    """The networks joined and the aliases there. A `container_name` resolves in Compose, so it is an alias here."""
    if "network_mode" in found:
        return _network_mode(found["network_mode"])
    named = (_name(found["container_name"]),) if "container_name" in found else ()
    return {name: (*named, *aliases) for name, aliases in _joined(found, frame, findings).items()}


def _joined(found: Mapping[str, Node], frame: Frame, findings: Findings) -> Mapping[str, tuple[str, ...]]:
    node = found.get("networks")
    if node is None:
        return {"default": ()}
    listed = node.value if isinstance(node.value, dict) else dict.fromkeys(unique(node))
    for name in listed:
        if name not in frame.networks:
            raise refuse(
                node,
                f"the network `{name}` is not declared",
                nearest(name, frame.networks) or f"Add `networks: {{{name}: }}` at the top.",
            )
    return {name: _aliases(child, findings) for name, child in listed.items()}


def _network_mode(node: Node) -> Mapping[str, tuple[str, ...]]:
    mode = text(node)
    if mode == "none":
        return {}
    if mode.startswith("service:"):
        raise refuse(node, "previewd does not read `network_mode: service:…` yet", "Use `networks`.")
    raise refuse(node, f"`network_mode: {mode}` leaves the preview's own network", "Remove it, or use `networks`.")


def _aliases(node: Node | None, findings: Findings) -> tuple[str, ...]:
    if node is None or node.value is None:
        return ()
    stripped = ("ipv4_address", "ipv6_address", "link_local_ips", "mac_address", "priority", "gw_priority")
    check_keys(
        node,
        ("aliases", *stripped),
        {"driver_opts": "it reaches into the host's network", "interface_name": "previewd names it"},
    )
    for key in stripped:
        if key in mapping(node):
            findings.notes.append(f"{node.place}: `{key}` is not used: the Engine gives every address.")
    aliases = mapping(node).get("aliases")
    return () if aliases is None else tuple(_name(item) for item in items(aliases))


def _limit(found: Mapping[str, Node], findings: Findings) -> Limit:
    values: dict[str, Any] = {}
    if "scale" in found:
        _check_replicas(found["scale"])
    if "deploy" in found:
        values.update(_deploy(found["deploy"], findings))
    if "mem_limit" in found:
        values["memory"] = size(found["mem_limit"])
    if "cpus" in found:
        values["cpus"] = number(found["cpus"])
    if "pids_limit" in found and found["pids_limit"].value != NO_LIMIT:
        values["pids"] = integer(found["pids_limit"], 1, 2**31)
    return Limit(**values)


def _check_replicas(node: Node) -> None:
    if integer(node, 0, 1000) == 0:
        raise refuse(node, "previewd does not read 0 replicas yet", "Give the service a profile instead.")


def _deploy(node: Node, findings: Findings) -> dict[str, Any]:
    """The limits of `deploy.resources`; everything that is about a swarm is left out and said so."""
    swarm = ("mode", "replicas", "labels", "placement", "update_config", "rollback_config", "restart_policy")
    check_keys(node, ("resources", "endpoint_mode", *swarm))
    for key, child in mapping(node).items():
        if key in ("endpoint_mode", *swarm):
            findings.notes.append(f"{child.place}: `{key}` is not used: a preview is no swarm.")
        if key == "replicas":
            _check_replicas(child)
    resources = mapping(node).get("resources")
    if resources is None:
        return {}
    check_keys(resources, ("limits", "reservations"))
    if (reserved := mapping(resources).get("reservations")) is not None:
        check_keys(reserved, ("cpus", "memory", "pids"), {"devices": "it gives the container a device of the host"})
    limits = mapping(resources).get("limits")
    if limits is None:
        return {}
    check_keys(limits, ("cpus", "memory", "pids"))
    readers: dict[str, Callable[[Node], object]] = {
        "cpus": number,
        "memory": size,
        "pids": lambda item: integer(item, 1, 2**31),
    }
    return {key: readers[key](child) for key, child in mapping(limits).items() if key in readers}


def _check_security(node: Node) -> None:
    for item in items(node):
        if text(item).replace("=", ":") not in ("no-new-privileges", "no-new-privileges:true"):
            raise refuse(item, f"`{item.value}` weakens the container's walls", "Remove it.")


def _image(node: Node) -> str:
    image = text(node)
    if _BARE_ID.fullmatch(image):
        raise refuse(node, f"`{image}` names an image by its id on this machine", "Write name:tag.")
    # A tag that a missing variable left empty is of no matter where the commit names the image.
    if _IMAGE.fullmatch(image) is None or (image.endswith(":") and not node.variables & COMMIT_VARIABLES):
        raise refuse(node, f"`{image}` is not an image's name", "Write name:tag.")
    return image


def _dependencies(node: Node) -> Mapping[str, Dependency]:
    if isinstance(node.value, tuple):
        return {name: Dependency() for name in unique(node)}
    return {name: _dependency(child) for name, child in mapping(node, "db: {condition: service_healthy}").items()}


def _dependency(node: Node) -> Dependency:
    check_keys(node, ("condition", "required", "restart"))
    found = mapping(node)
    if "condition" not in found:
        raise refuse(node, "a dependency needs `condition`", "Write `condition: service_started`.")
    return Dependency(
        condition=choice(found["condition"], Condition),
        required="required" not in found or boolean(found["required"]),
        restart="restart" in found and boolean(found["restart"]),
    )


def _healthcheck(node: Node) -> Healthcheck:
    seconds = ("interval", "timeout", "start_period", "start_interval")
    check_keys(node, ("test", "retries", "disable", *seconds))
    found = mapping(node)
    if "disable" in found and boolean(found["disable"]):
        return Healthcheck(test=("NONE",))
    fields: dict[str, Any] = {key: duration(found[key]) for key in seconds if key in found}
    for key in ("interval", "start_interval"):
        if fields.get(key):
            fields[key] = max(fields[key], MIN_INTERVAL)
    if "retries" in found:
        fields["retries"] = integer(found["retries"], 0, 1000)
    return Healthcheck(test=_test(found["test"]) if "test" in found else (), **fields)


def _test(node: Node) -> tuple[str, ...]:
    if isinstance(node.value, str):
        return ("CMD-SHELL", node.value)
    test = strings(node)
    if test and test[0] not in ("CMD", "CMD-SHELL", "NONE"):
        raise refuse(node, f"the test starts with `{test[0]}`", "Start it with CMD, CMD-SHELL or NONE.")
    return test


def _extra_hosts(node: Node) -> Mapping[str, tuple[str, ...]]:
    """Names to addresses. They stand in the container's own /etc/hosts and lead nowhere that an address does not."""
    found: dict[str, tuple[str, ...]] = {}
    if isinstance(node.value, tuple):
        for item in node.value:
            name, address = re.split(r"[=:]", text(item) + ":", maxsplit=1)
            found[name] = (*found.get(name, ()), _address(item, address[:-1]))
        return found
    for name, child in mapping(node).items():
        found[name] = tuple(_address(child, address) for address in strings(child))
    return found


def _address(node: Node, address: str) -> str:
    try:
        return str(ipaddress.ip_address(address.strip("[]")))
    except ValueError:
        raise refuse(
            node,
            f"`{address}` is not an address" if address != "host-gateway" else "`host-gateway` leads to the host",
            "Remove the entry: a preview reaches its own services by their names.",
        ) from None


def _name(node: Node) -> str:
    name = text(node)
    if _HOSTNAME.fullmatch(name) is None:
        raise refuse(node, f"`{name}` is not a host name", "Use letters, digits, - and _.")
    return name


def _matching(pattern: re.Pattern[str], what: str, example: str) -> Callable[[Node], str]:
    def reader(node: Node) -> str:
        written = text(node)
        if pattern.fullmatch(written) is None:
            raise refuse(node, f"`{written}` is not {what}", f"Write one such as {example}.")
        return written

    return reader


def _restart(node: Node) -> str:
    if node.value is False:
        return "no"
    return _matching(_RESTART, "a restart policy", "on-failure")(node)


_READERS: Mapping[str, Callable[[Node], object]] = {
    "image": _image,
    "ports": read_ports,
    "expose": read_expose,
    "depends_on": _dependencies,
    "healthcheck": _healthcheck,
    "tmpfs": read_tmpfs,
    "profiles": lambda node: frozenset(text(item) for item in items(node)),
    "working_dir": text,
    "user": text,
    "init": boolean,
    "stop_signal": _matching(_SIGNAL, "a signal", "SIGINT"),
    "stop_grace_period": lambda node: min(duration(node), MAX_GRACE),
    "read_only": boolean,
    "hostname": _name,
    "restart": _restart,
    "platform": _matching(_PLATFORM, "a platform", "linux/amd64"),
    "tty": boolean,
    "stdin_open": boolean,
    "shm_size": lambda node: min(size(node), MAX_SHM),
    "cap_drop": lambda node: tuple(scalar_text(item) for item in items(node)),
    "extra_hosts": _extra_hosts,
}
"""One reader for each key that becomes the field of the same name."""

HANDLED = frozenset(_READERS) | {
    "build",
    "command",
    "container_name",
    "cpus",
    "deploy",
    "entrypoint",
    "env_file",
    "environment",
    "logging",
    "mem_limit",
    "network_mode",
    "networks",
    "pids_limit",
    "pull_policy",
    "pull_refresh_after",
    "scale",
    "security_opt",
    "volumes",
}
"""Every key that `judge` may hand over; the tests hold it against the policy's table."""
