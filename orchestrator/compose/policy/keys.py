"""What previewd does with each key of the Compose language: exactly one word for every key, in the tables below.

`TABLES` has a table for each kind of mapping that the Compose Specification's schema knows, and a test walks that
schema. A word covers all that stands below its key, unless the rule names the table for it. The language asks
`judge`, which ends at the first refusal; `previewd check` asks `verdicts`, which lists them all. A reason says what
the key would do to the machine or to other previews, a remedy what to write instead.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.compose.policy.ulimits import MAX_ULIMITS
from orchestrator.compose.syntax.casts import (
    duration,
    integer,
    items,
    mapping,
    scalar_text,
    size,
    size_text,
    text,
)
from orchestrator.compose.syntax.load import Node

MAX_GRACE = 10.0
"""Seconds between the stop signal and the kill, so that a teardown cannot be held up."""
MIN_INTERVAL = 1.0
"""Seconds between two runs of a container's own health test."""
MAX_SHM = 1024**3
MAX_TMPFS = 1024**3
MAX_REPLICAS = 10
PRE_STOP_SECONDS = 10.0
"""For all `pre_stop` commands of a container together."""
_REMOVE = "Remove it, or keep it in a Compose file that previews do not use."


class Word(StrEnum):
    """The verdicts on a key."""

    DENY = "deny"
    """The file is refused."""
    STRIP = "strip"
    """Left out, and said so."""
    OWN = "own"
    """previewd decides; the file's value is at most a hint."""
    CAP = "cap"
    """Taken up to a limit."""
    OK = "ok"
    """Taken as it is, once it has the right form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The word for one key. `why` completes the sentence that the author reads."""

    word: Word
    why: str = ""
    remedy: str = ""
    off: frozenset[str] = frozenset()
    """Values of a denied key that ask for nothing, beside the usual ones."""
    quiet: bool = False
    """Nearly every file has the key: a note would only be noise."""
    capped: Callable[[Node], str] | None = None
    """What a value beyond the limit is taken as, and what it asks for; empty for one within it."""
    below: str = ""
    """The table for the mapping that stands here, or for each mapping of a list."""
    named: bool = False
    """Whether names come first, as in `services`: the table is for what stands below each."""


def _deny(why: str, remedy: str = _REMOVE, *, off: tuple[str, ...] = ()) -> Rule:
    return Rule(word=Word.DENY, why=why, remedy=remedy, off=frozenset(off))


def _strip(why: str, *, quiet: bool = False) -> Rule:
    return Rule(word=Word.STRIP, why=why, quiet=quiet)


def _own(why: str, *, quiet: bool = False, below: str = "") -> Rule:
    return Rule(word=Word.OWN, why=why, quiet=quiet, below=below)


def _cap(why: str = "", capped: Callable[[Node], str] | None = None, *, below: str = "", named: bool = False) -> Rule:
    return Rule(word=Word.CAP, why=why, capped=capped, below=below, named=named)


def _within(table: str) -> Rule:
    """Allowed, and the keys below it have words of their own."""
    return Rule(word=Word.OK, below=table)


def _each(table: str) -> Rule:
    """Names, and below each of them a mapping with words of its own."""
    return Rule(word=Word.OK, below=table, named=True)


def _at_most(
    most: float, shown: str, read: Callable[[Node], float], asked: Callable[[Node], str] = scalar_text
) -> Callable[[Node], str]:
    return lambda node: f"{shown}, not {asked(node)}" if read(node) > most else ""


def _at_least(least: float, shown: str) -> Callable[[Node], str]:
    return lambda node: f"{shown}, not {scalar_text(node)}" if 0 < duration(node) < least else ""


def _size_asked(node: Node) -> str:
    return size_text(size(node))


def _whole(node: Node) -> float:
    return integer(node, 0, 10**9)


def _tmpfs_size(node: Node) -> float:
    """The largest `size=` of the short form, which is a string or a list of strings."""
    listed = (node,) if isinstance(node.value, str) else items(node)
    options = (option for item in listed for option in text(item).partition(":")[2].split(","))
    wanted = (option.removeprefix("size=") for option in options if option.startswith("size="))
    return max((size(Node(value=amount, place=node.place)) for amount in wanted), default=0)


def _ulimits(node: Node) -> str:
    """Every limit of the mapping that is above its most."""
    lowered = []
    for name, child in mapping(node).items():
        said = mapping(child)
        asked = max((integer(said[key], -1, 2**62) for key in ("single", "hard", "soft") if key in said), default=0)
        unlimited = any(integer(each, -1, 2**62) == -1 for key, each in said.items() if not key.startswith("x-"))
        most = MAX_ULIMITS.get(name)
        if most is not None and (unlimited or asked > most):
            lowered.append(f"{name} {most}, not {'without a limit' if unlimited else asked}")
    return "; ".join(lowered)


_OK = Rule(word=Word.OK)
_CAP = Rule(word=Word.CAP)
_DEVICE = _deny("it gives the container a device of the host")
_KERNEL = _deny("it changes how the host's kernel treats the container", off=("default", "0"))
_ESCAPE = _deny("it leaves the limits that every preview runs in", off=("private", "0"))
_RESOURCES = _strip("previewd sets the limits of every container itself")
_RESOLVER = _strip("previews resolve names through the Engine only")
_METADATA = _strip("other programs on the host act on labels and annotations")
_SWARM = _strip("a preview is no swarm")
_HOST_NETWORK = _deny("it reaches into the host's network")
_ADDRESS = _strip("the Engine gives every address")
_OUTSIDE_SECRET = _deny("it takes a value from outside the repository", "Use `file:`, `environment:` or `content:`.")
_SUBPATH = _deny(
    "an Engine before API 1.45 mounts all of the volume instead, without a word",
    "Give that folder a volume of its own.",
)
_GRACE = _cap("so that nothing holds up a teardown", _at_most(MAX_GRACE, "10s", duration))
_SHM = _cap("it counts against the machine's memory", _at_most(MAX_SHM, "1g", size, _size_asked))
_TMPFS = "it counts against the machine's memory"
_REPLICAS = _cap("each one counts against the machine's memory", _at_most(MAX_REPLICAS, str(MAX_REPLICAS), _whole))
_PRE_STOP = _cap(
    "a teardown ends everything at once",
    lambda node: (
        f"what runs for {PRE_STOP_SECONDS:g} s at most when a push replaces the container" if node.value else ""
    ),
    below="hook",
)
_ULIMITS = _cap("it counts against the machine's own limits", _ulimits, below="ulimit", named=True)
_INTERVAL = _cap("a shorter one only burns CPU", _at_least(MIN_INTERVAL, "1s"))

_TOP: Mapping[str, Rule] = {
    "configs": _each("config"),
    "include": _within("include"),
    "jobs": _strip("jobs run by hand or by the clock, and a preview starts services only"),
    "models": _deny("it starts programs on the host"),
    "name": _own("previewd names the project after the pull request", quiet=True),
    "networks": _each("network"),
    "secrets": _each("secret"),
    "services": _each("service"),
    "version": _strip("Compose itself ignores it since version 2", quiet=True),
    "volumes": _each("volume"),
}

_INCLUDE: Mapping[str, Rule] = {"env_file": _OK, "path": _OK, "project_directory": _OK}

_SERVICE: Mapping[str, Rule] = {
    "annotations": _METADATA,
    "attach": _strip("previewd keeps every service's output"),
    "blkio_config": _RESOURCES,
    "build": _within("build"),
    "cap_add": _deny("it gives the container more rights on the host", "Use an image that runs without it."),
    "cap_drop": _OK,
    "cgroup": _ESCAPE,
    "cgroup_parent": _ESCAPE,
    "command": _OK,
    "configs": _within("grant"),
    "container_name": _own("two previews would want the same name; inside the preview it still resolves"),
    "cpu_count": _RESOURCES,
    "cpu_percent": _RESOURCES,
    "cpu_period": _RESOURCES,
    "cpu_quota": _RESOURCES,
    "cpu_rt_period": _KERNEL,
    "cpu_rt_runtime": _KERNEL,
    "cpu_shares": _RESOURCES,
    "cpus": _CAP,
    "cpuset": _RESOURCES,
    "credential_spec": _deny("it reads credentials of the host"),
    "depends_on": _each("dependency"),
    "deploy": _within("deploy"),
    "develop": _strip("nothing is watched in a preview; a push makes a new one"),
    "device_cgroup_rules": _DEVICE,
    "devices": _DEVICE,
    "dns": _RESOLVER,
    "dns_opt": _RESOLVER,
    "dns_search": _RESOLVER,
    "domainname": _strip("a preview has one host name, given by previewd"),
    "entrypoint": _OK,
    "env_file": _within("env_file"),
    "environment": _OK,
    "expose": _OK,
    "extends": _within("extends"),
    "external_links": _deny("it reaches containers outside the preview"),
    "extra_hosts": _OK,
    "gpus": _DEVICE,
    "group_add": _deny("it adds a group of the host to the container"),
    "healthcheck": _within("healthcheck"),
    "hostname": _OK,
    "image": _OK,
    "init": _OK,
    "ipc": _deny(
        "it can share memory with the host or with another container",
        "Remove it; `shm_size` gives the container more memory to share.",
        off=("private", "none"),
    ),
    "isolation": _KERNEL,
    "label_file": _METADATA,
    "labels": _METADATA,
    "links": _OK,
    "logging": _own("logs are kept on the machine, with a limit on their size"),
    "mac_address": _strip("the Engine gives every container its own address"),
    "mem_limit": _CAP,
    "mem_reservation": _RESOURCES,
    "mem_swappiness": _RESOURCES,
    "memswap_limit": _RESOURCES,
    "models": _deny("it starts programs on the host"),
    "network_mode": _OK,
    "networks": _each("endpoint"),
    "oom_kill_disable": _ESCAPE,
    "oom_score_adj": _ESCAPE,
    "pid": _deny("it can see and end processes outside the container"),
    "pids_limit": _CAP,
    "platform": _OK,
    "ports": _own(
        "nothing is published on the host; the preview's own host name leads to the routed service",
        quiet=True,
        below="port",
    ),
    "post_start": _within("hook"),
    "pre_start": _within("pre_start"),
    "pre_stop": _PRE_STOP,
    "privileged": _deny("it gives the container the whole host"),
    "profiles": _OK,
    "provider": _deny("it runs a program on the host"),
    "pull_policy": _own("previewd decides when an image is pulled"),
    "pull_refresh_after": _own("previewd decides when an image is pulled"),
    "read_only": _OK,
    "restart": _own("a service that fails is started again at most three times", quiet=True),
    "runtime": _deny("it picks another container runtime of the host"),
    "scale": _REPLICAS,
    "secrets": _within("grant"),
    "security_opt": _OK,
    "shm_size": _SHM,
    "stdin_open": _OK,
    "stop_grace_period": _GRACE,
    "stop_signal": _OK,
    "storage_opt": _RESOURCES,
    "sysctls": _KERNEL,
    "tmpfs": _cap(_TMPFS, _at_most(MAX_TMPFS, "size=1g", _tmpfs_size, lambda node: size_text(int(_tmpfs_size(node))))),
    "tty": _OK,
    "ulimits": _ULIMITS,
    "umask": _deny("the Engine cannot be asked for it", "Call `umask` in the command."),
    "use_api_socket": _deny("it hands the Engine, and with it the host, to the container"),
    "user": _OK,
    "userns_mode": _KERNEL,
    "uts": _deny("it can change the host's name"),
    "volumes": _within("mount"),
    "volumes_from": _OK,
    "working_dir": _OK,
}

_OF_A_SERVICE_ONLY = frozenset(
    {"attach", "build", "container_name", "depends_on", "deploy", "develop", "expose", "extends", "external_links"}
    | {"healthcheck", "links", "ports", "post_start", "pre_start", "pre_stop", "profiles", "provider", "restart"}
    | {"scale", "stdin_open", "tty"}
)
_PRE_START: Mapping[str, Rule] = {
    **{key: rule for key, rule in _SERVICE.items() if key not in _OF_A_SERVICE_ONLY},
    "per_replica": _strip("previewd runs no container before a service"),
}
_HOOK: Mapping[str, Rule] = {
    "command": _OK,
    "environment": _OK,
    "privileged": _SERVICE["privileged"],
    "user": _OK,
    "working_dir": _OK,
}

_BUILD: Mapping[str, Rule] = {
    "additional_contexts": _OK,
    "args": _OK,
    "cache_from": _OK,
    "cache_to": _deny("it writes outside the build"),
    "context": _OK,
    "dockerfile": _OK,
    "dockerfile_inline": _OK,
    "entitlements": _deny("it asks the builder for rights on the host"),
    "extra_hosts": _deny("it redirects names while the image is built"),
    "isolation": _KERNEL,
    "labels": _METADATA,
    "network": _OK,
    "no_cache": _OK,
    "no_cache_filter": _OK,
    "platforms": _CAP,
    "privileged": _deny("it gives the build the whole host"),
    "provenance": _strip("a preview's image is never pushed"),
    "pull": _OK,
    "sbom": _strip("a preview's image is never pushed"),
    "secrets": _within("grant"),
    "shm_size": _SHM,
    "ssh": _deny("it hands keys of the machine to the build"),
    "tags": _deny("it could rename any image on the machine", "Remove it; previewd names the image."),
    "target": _OK,
    "ulimits": _ULIMITS,
}

_DEPLOY: Mapping[str, Rule] = {
    "endpoint_mode": _SWARM,
    "labels": _SWARM,
    "mode": _SWARM,
    "placement": _SWARM,
    "replicas": _REPLICAS,
    "resources": _within("resources"),
    "restart_policy": _SWARM,
    "rollback_config": _SWARM,
    "update_config": _SWARM,
}
_RESERVATIONS: Mapping[str, Rule] = {
    "cpus": _RESOURCES,
    "devices": _DEVICE,
    "generic_resources": _DEVICE,
    "memory": _RESOURCES,
}

_NETWORK: Mapping[str, Rule] = {
    "attachable": _strip("nothing else joins a preview's network"),
    "driver": _OK,
    "driver_opts": _HOST_NETWORK,
    "enable_ipv4": _strip("previewd makes the network"),
    "enable_ipv6": _strip("previewd makes the network"),
    "external": _deny("it joins a network outside the preview", "Remove it: the preview gets its own network."),
    "internal": _OK,
    "ipam": _strip("previewd gives every network its own addresses"),
    "labels": _METADATA,
    "name": _own("previewd names the network after the pull request"),
}
_ENDPOINT: Mapping[str, Rule] = {
    "aliases": _OK,
    "driver_opts": _HOST_NETWORK,
    "gw_priority": _ADDRESS,
    "interface_name": _deny("the Engine names the interfaces"),
    "ipv4_address": _ADDRESS,
    "ipv6_address": _ADDRESS,
    "link_local_ips": _ADDRESS,
    "mac_address": _ADDRESS,
    "priority": _ADDRESS,
    "use_service_name_alias": _strip("a service always answers to its name"),
}

_VOLUME: Mapping[str, Rule] = {
    "driver": _OK,
    "driver_opts": _deny("it can mount any folder of the host", "Remove it: the preview gets a fresh volume."),
    "external": _deny("it opens a volume outside the preview", "Remove it: the preview gets a fresh volume."),
    "labels": _METADATA,
    "name": _own("previewd names the volume after the pull request"),
}
_MOUNT: Mapping[str, Rule] = {
    "bind": _within("mount.bind"),
    "consistency": _strip("it means nothing on this machine", quiet=True),
    "image": _deny("it opens another image"),
    "read_only": _OK,
    "source": _OK,
    "target": _OK,
    "tmpfs": _within("mount.tmpfs"),
    "type": _OK,
    "volume": _within("mount.volume"),
}
_MOUNT_BIND: Mapping[str, Rule] = {
    "create_host_path": _OK,
    "propagation": _deny("it shares mounts with the host", "Remove it."),
    "recursive": _strip("a preview binds its own copy of the folder", quiet=True),
    "selinux": _strip("a preview binds its own copy of the folder", quiet=True),
}

_SECRET: Mapping[str, Rule] = {
    "driver": _OUTSIDE_SECRET,
    "driver_opts": _OUTSIDE_SECRET,
    "environment": _OK,
    "external": _OUTSIDE_SECRET,
    "file": _OK,
    "labels": _METADATA,
    "name": _own("previewd names everything after the pull request"),
    "template_driver": _OUTSIDE_SECRET,
}
_CONFIG: Mapping[str, Rule] = {
    **{key: rule for key, rule in _SECRET.items() if not key.startswith("driver")},
    "content": _OK,
}

TABLES: Mapping[str, Mapping[str, Rule]] = {
    "top": _TOP,
    "include": _INCLUDE,
    "service": _SERVICE,
    "build": _BUILD,
    "dependency": {"condition": _OK, "required": _OK, "restart": _OK},
    "deploy": _DEPLOY,
    "resources": {"limits": _within("limits"), "reservations": _within("reservations")},
    "limits": {"cpus": _CAP, "memory": _CAP, "pids": _CAP},
    "reservations": _RESERVATIONS,
    "endpoint": _ENDPOINT,
    "env_file": {"format": _OK, "path": _OK, "required": _OK},
    "extends": {"file": _OK, "service": _OK},
    "grant": {"gid": _OK, "mode": _OK, "source": _OK, "target": _OK, "uid": _OK},
    "healthcheck": {
        "disable": _OK,
        "interval": _INTERVAL,
        "retries": _OK,
        "start_interval": _strip("an Engine before API 1.44 does not know it; the tests run at every `interval`"),
        "start_period": _OK,
        "test": _OK,
        "timeout": _OK,
    },
    "hook": _HOOK,
    "pre_start": _PRE_START,
    "mount": _MOUNT,
    "mount.bind": _MOUNT_BIND,
    "mount.tmpfs": {"mode": _OK, "size": _cap(_TMPFS, _at_most(MAX_TMPFS, "1g", size, _size_asked))},
    "mount.volume": {"labels": _METADATA, "nocopy": _OK, "subpath": _SUBPATH},
    "port": dict.fromkeys(("app_protocol", "host_ip", "mode", "name", "protocol", "published", "target"), _OK),
    "ulimit": {"hard": _CAP, "single": _CAP, "soft": _CAP},
    "network": _NETWORK,
    "volume": _VOLUME,
    "secret": _SECRET,
    "config": _CONFIG,
}
"""Every table by its name. `x-…` keys may stand in each of them and mean nothing."""

INSTEAD = (
    "Make it a service of its own that ends, and let this one name it in `depends_on` "
    "with `condition: service_completed_successfully`."
)
