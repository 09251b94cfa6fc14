"""What previewd does with each key of the Compose language: exactly one word for every key, in the tables below.

`service` and `read` ask `judge` with one of the tables; a key in no table is unknown and refused.
The reasons say what the key would do to the machine or to other previews; a remedy says what to write instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.compose.load import Node
from orchestrator.compose.scalars import mapping, nearest, refuse

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


def _deny(why: str, remedy: str = _REMOVE) -> Rule:
    return Rule(word=Word.DENY, why=why, remedy=remedy)


def _strip(why: str) -> Rule:
    return Rule(word=Word.STRIP, why=why)


def _own(why: str) -> Rule:
    return Rule(word=Word.OWN, why=why)


_OK = Rule(word=Word.OK)
_CAP = Rule(word=Word.CAP)
_DEVICE = _deny("it gives the container a device of the host")
_KERNEL = _deny("it changes how the host's kernel treats the container")
_ESCAPE = _deny("it leaves the limits that every preview runs in")
_RESOURCES = _strip("previewd sets the limits of every container itself")
_RESOLVER = _strip("previews resolve names through the Engine only")
_METADATA = _strip("other programs on the host act on labels and annotations")

SERVICE: Mapping[str, Rule] = {
    "annotations": _METADATA,
    "attach": _strip("previewd keeps every service's output"),
    "blkio_config": _RESOURCES,
    "build": _OK,
    "cap_add": _deny("it gives the container more rights on the host", "Use an image that runs without it."),
    "cap_drop": _OK,
    "cgroup": _ESCAPE,
    "cgroup_parent": _ESCAPE,
    "command": _OK,
    "configs": _OK,
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
    "depends_on": _OK,
    "deploy": _CAP,
    "develop": _strip("nothing is watched in a preview; a push makes a new one"),
    "device_cgroup_rules": _DEVICE,
    "devices": _DEVICE,
    "dns": _RESOLVER,
    "dns_opt": _RESOLVER,
    "dns_search": _RESOLVER,
    "domainname": _strip("a preview has one host name, given by previewd"),
    "entrypoint": _OK,
    "env_file": _OK,
    "environment": _OK,
    "expose": _OK,
    "extends": _OK,
    "external_links": _deny("it reaches containers outside the preview"),
    "extra_hosts": _OK,
    "gpus": _DEVICE,
    "group_add": _deny("it adds a group of the host to the container"),
    "healthcheck": _CAP,
    "hostname": _OK,
    "image": _OK,
    "init": _OK,
    "ipc": _deny("it can share memory with the host or with another container"),
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
    "networks": _OK,
    "oom_kill_disable": _ESCAPE,
    "oom_score_adj": _ESCAPE,
    "pid": _deny("it can see and end processes outside the container"),
    "pids_limit": _CAP,
    "platform": _OK,
    "ports": _own("nothing is published on the host; the preview's own host name leads to the routed service"),
    "post_start": _OK,
    "pre_start": _OK,
    "pre_stop": _OK,
    "privileged": _deny("it gives the container the whole host"),
    "profiles": _OK,
    "provider": _deny("it runs a program on the host"),
    "pull_policy": _own("previewd decides when an image is pulled"),
    "pull_refresh_after": _own("previewd decides when an image is pulled"),
    "read_only": _OK,
    "restart": _own("a service that fails is started again at most three times"),
    "runtime": _deny("it picks another container runtime of the host"),
    "scale": _own("one container of each service is started"),
    "secrets": _OK,
    "security_opt": _OK,
    "shm_size": _CAP,
    "stdin_open": _OK,
    "stop_grace_period": _CAP,
    "stop_signal": _OK,
    "storage_opt": _RESOURCES,
    "sysctls": _KERNEL,
    "tmpfs": _CAP,
    "tty": _OK,
    "ulimits": _CAP,
    "use_api_socket": _deny("it hands the Engine, and with it the host, to the container"),
    "user": _OK,
    "userns_mode": _KERNEL,
    "uts": _deny("it can change the host's name"),
    "volumes": _OK,
    "volumes_from": _OK,
    "working_dir": _OK,
}

BUILD: Mapping[str, Rule] = {
    "additional_contexts": _OK,
    "args": _OK,
    "cache_from": _strip("previewd keeps its own build cache"),
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
    "secrets": _OK,
    "shm_size": _CAP,
    "ssh": _deny("it hands keys of the machine to the build"),
    "tags": _deny("it could rename any image on the machine", "Remove it; previewd names the image."),
    "target": _OK,
    "ulimits": _CAP,
}

TOP: Mapping[str, Rule] = {
    "configs": _OK,
    "include": _OK,
    "models": _deny("it starts programs on the host"),
    "name": _own("previewd names the project after the pull request"),
    "networks": _OK,
    "secrets": _OK,
    "services": _OK,
    "version": _strip("Compose itself ignores it since version 2"),
    "volumes": _OK,
}

NETWORK: Mapping[str, Rule] = {
    "attachable": _strip("nothing else joins a preview's network"),
    "driver": _OK,
    "driver_opts": _deny("it reaches into the host's network"),
    "enable_ipv4": _strip("previewd makes the network"),
    "enable_ipv6": _strip("previewd makes the network"),
    "external": _deny("it joins a network outside the preview", "Remove it: the preview gets its own network."),
    "internal": _OK,
    "ipam": _strip("previewd gives every network its own addresses"),
    "labels": _METADATA,
    "name": _own("previewd names the network after the pull request"),
}

VOLUME: Mapping[str, Rule] = {
    "driver": _OK,
    "driver_opts": _deny("it can mount any folder of the host", "Remove it: the preview gets a fresh volume."),
    "external": _deny("it opens a volume outside the preview", "Remove it: the preview gets a fresh volume."),
    "labels": _METADATA,
    "name": _own("previewd names the volume after the pull request"),
}

NOT_YET: Mapping[str, frozenset[str]] = {
    "service": frozenset(
        {"configs", "extends", "links", "post_start", "pre_start", "pre_stop", "secrets", "ulimits", "volumes_from"}
    ),
    "build": frozenset({"additional_contexts", "no_cache_filter", "secrets", "ulimits"}),
    "top": frozenset({"configs", "include", "secrets"}),
}
"""Keys that the policy allows and that previewd does not read yet: refused by name, never ignored."""


def judge(kind: str, node: Node, table: Mapping[str, Rule]) -> tuple[frozenset[str], tuple[str, ...]]:
    """The keys of `node` to read, and a note for each one that is left out or decided by previewd.

    Raises ComposeError for the first key that is denied, unknown, or not read yet.
    """
    taken: set[str] = set()
    notes: list[str] = []
    for key, child in mapping(node).items():
        if key.startswith("x-"):
            continue
        rule = table.get(key)
        if rule is None:
            raise refuse(child, f"unknown key `{key}`", nearest(key, table) or "Remove it, or begin it with x-.")
        _check(kind, key, child, rule)
        if rule.word in (Word.STRIP, Word.OWN) and not _is_harmless_default(key, child):
            notes.append(f"{child.place}: `{key}` is not used: {rule.why}.")
        if rule.word is not Word.STRIP:
            taken.add(key)
    return frozenset(taken), tuple(notes)


def _check(kind: str, key: str, child: Node, rule: Rule) -> None:
    if rule.word is Word.DENY and not _is_off(child):
        raise refuse(child, f"`{key}` is not allowed in a preview: {rule.why}", rule.remedy)
    if key in NOT_YET.get(kind, frozenset()):
        raise refuse(child, f"previewd does not read `{key}` yet", _REMOVE)


def _is_off(child: Node) -> bool:
    """`privileged: false`, `devices: []` and their like ask for nothing."""
    return child.value is None or child.value is False or child.value in ((), {})


def _is_harmless_default(key: str, child: Node) -> bool:
    """Keys that nearly every file has, where a note would only be noise."""
    return key in ("ports", "restart", "version", "name") or _is_off(child)
