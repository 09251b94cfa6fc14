"""The values of single keys of a service, one small reader for each. Pure."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.compose.model import (
    COMMIT_VARIABLES,
    Condition,
    Dependency,
    Healthcheck,
    Hook,
)
from orchestrator.compose.policy.keys import MAX_GRACE, MAX_SHM, MIN_INTERVAL
from orchestrator.compose.policy.ulimits import read_ulimits
from orchestrator.compose.policy.values import (
    CAPABILITIES,
    MIN_HEALTH_TIME,
    NEW_CAPABILITIES,
    is_address,
    is_host,
    is_signal,
    is_working_dir,
)
from orchestrator.compose.services.mounts import read_tmpfs, read_volumes_from
from orchestrator.compose.services.ports import read_expose, read_ports
from orchestrator.compose.syntax.casts import (
    boolean,
    choice,
    duration,
    integer,
    items,
    mapping,
    nearest,
    refuse,
    scalar_text,
    size,
    text,
)
from orchestrator.compose.syntax.load import Node

_BARE_ID = re.compile(r"(sha256:)?[0-9a-f]{12,64}|sha256:.*")
_IMAGE = re.compile(r"[a-z0-9][\w.:/-]*(?:@sha256:[0-9a-f]{64})?", re.ASCII)
_HOSTNAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9_])?")
_PLATFORM = re.compile(r"[a-z0-9]+(/[a-z0-9]+){0,2}")
_RESTART = re.compile(r"no|always|unless-stopped|on-failure(:[0-9]+)?")


def _argv(node: Node) -> tuple[str, ...] | None:
    return None if node.value is None else tuple(text(item) for item in items(node))


def _links(node: Node) -> Mapping[str, str]:
    """Alias to service; a link without an alias gives the service the name that it has already."""
    found: dict[str, str] = {}
    for item in items(node):
        service, _, alias = text(item).partition(":")
        found[alias or service] = service
    return found


def _hooks(node: Node) -> tuple[Hook, ...]:
    return tuple(_hook(item) for item in items(node))


def _hook(node: Node) -> Hook:
    found = mapping(node)
    command = _argv(found["command"])
    if not command:
        raise refuse(found["command"], "this hook runs nothing", "Write the command that it runs.")
    return Hook(
        command=command,
        user=text(found["user"]) if "user" in found else None,
        working_dir=_working_dir(found["working_dir"]) if "working_dir" in found else None,
        environment=_plain(found["environment"]) if "environment" in found else {},
    )


def _plain(node: Node) -> Mapping[str, str]:
    return {name: scalar_text(child) for name, child in mapping(node).items() if child.value is not None}


def _image(node: Node) -> str:
    image = text(node)
    if _BARE_ID.fullmatch(image):
        raise refuse(node, f"`{image}` names an image by its id on this machine", "Write name:tag.")
    # A tag that a missing variable left empty is of no matter where the commit names the image.
    if _IMAGE.fullmatch(image) is None or (image.endswith(":") and not node.variables & COMMIT_VARIABLES):
        raise refuse(node, f"`{image}` is not an image's name", "Write name:tag.")
    return image


def _dependencies(node: Node) -> Mapping[str, Dependency]:
    return {name: _dependency(child) for name, child in mapping(node).items()}


def _dependency(node: Node) -> Dependency:
    found = mapping(node)
    return Dependency(
        condition=choice(found["condition"], Condition),
        required=boolean(found["required"]),
        restart="restart" in found and boolean(found["restart"]),
    )


def _healthcheck(node: Node) -> Healthcheck:
    readers = {"timeout": _time, "start_period": _time, "interval": _interval}
    found = mapping(node)
    if "disable" in found and boolean(found["disable"]):
        return Healthcheck(test=("NONE",))
    fields: dict[str, Any] = {key: reader(found[key]) for key, reader in readers.items() if key in found}
    if "retries" in found:
        fields["retries"] = integer(found["retries"], 0, 1000)
    return Healthcheck(test=tuple(map(text, items(found["test"]))) if "test" in found else (), **fields)


def _interval(node: Node) -> float:
    """A pause between two tests; none at all is the Engine's own."""
    seconds = duration(node)
    return max(seconds, MIN_INTERVAL) if seconds else seconds


def _time(node: Node) -> float:
    seconds = duration(node)
    if 0 < seconds < MIN_HEALTH_TIME:
        raise refuse(node, f"`{node.value}` is shorter than the Engine can wait", "Write 1ms or more.")
    return seconds


def _extra_hosts(node: Node) -> Mapping[str, tuple[str, ...]]:
    """Names to addresses. They stand in the container's own /etc/hosts and lead nowhere that an address does not."""
    found: dict[str, tuple[str, ...]] = {}
    for name, child in mapping(node).items():
        if not is_host(name):
            raise refuse(child, f"`{name}` is not a host name", "Use letters, digits, -, _ and dots.")
        found[name] = tuple(_address(item, text(item)) for item in items(child))
    return found


def _address(node: Node, written: str) -> str:
    address = written.strip("[]")
    if not is_address(address):
        raise refuse(
            node,
            "`host-gateway` leads to the host" if address == "host-gateway" else f"`{written}` is not an address",
            "Remove the entry: a preview reaches its own services by their names.",
        )
    return str(ipaddress.ip_address(address))


def host_label(node: Node) -> str:
    """A name that resolves inside of the preview. Raises ComposeError."""
    name = text(node)
    if _HOSTNAME.fullmatch(name) is None:
        raise refuse(node, f"`{name}` is not a host name", "Use letters, digits, - and _.")
    return name


def _signal(node: Node) -> str:
    word = text(node)
    if not is_signal(word):
        raise refuse(node, f"`{word}` is not a signal", "Write one such as SIGINT.")
    return word.upper()


def _working_dir(node: Node) -> str:
    path = text(node)
    if not is_working_dir(path):
        raise refuse(node, f"`{path}` is not an absolute path", "Write one such as /app.")
    return path


def _capabilities(node: Node) -> tuple[str, ...]:
    """What is dropped, less what no container has in the first place and not every machine knows."""
    found: list[str] = []
    for item in items(node):
        word = scalar_text(item)
        name = word.upper().removeprefix("CAP_")
        if name not in CAPABILITIES | NEW_CAPABILITIES:
            remedy = nearest(name, CAPABILITIES) or "Write one such as NET_RAW, or ALL."
            raise refuse(item, f"`{word}` is not a capability", remedy)
        if name in CAPABILITIES:
            found.append(word)
    return tuple(found)


def _matching(pattern: re.Pattern[str], what: str, example: str) -> Callable[[Node], str]:
    def reader(node: Node) -> str:
        written = text(node)
        if pattern.fullmatch(written) is None:
            raise refuse(node, f"`{written}` is not {what}", f"Write one such as {example}.")
        return written

    return reader


READERS: Mapping[str, Callable[[Node], object]] = {
    "command": _argv,
    "entrypoint": _argv,
    "image": _image,
    "links": _links,
    "post_start": _hooks,
    "pre_stop": _hooks,
    "ulimits": read_ulimits,
    "volumes_from": read_volumes_from,
    "ports": read_ports,
    "expose": read_expose,
    "depends_on": _dependencies,
    "healthcheck": _healthcheck,
    "tmpfs": read_tmpfs,
    "profiles": lambda node: frozenset(text(item) for item in items(node)),
    "working_dir": _working_dir,
    "user": text,
    "init": boolean,
    "stop_signal": _signal,
    "stop_grace_period": lambda node: min(duration(node), MAX_GRACE),
    "read_only": boolean,
    "hostname": host_label,
    "restart": _matching(_RESTART, "a restart policy", "on-failure"),
    "platform": _matching(_PLATFORM, "a platform", "linux/amd64"),
    "tty": boolean,
    "stdin_open": boolean,
    "shm_size": lambda node: min(size(node), MAX_SHM),
    "cap_drop": _capabilities,
    "extra_hosts": _extra_hosts,
}
"""One reader for each key that becomes the field of the same name."""
