"""A service to the Engine's create-container request, and the policy once more on the finished request.

Pure. The launch step calls `container_body`, then `assert_harmless` on exactly the body that it sends. Ports are
never published; volumes, networks and labels carry the names that the caller gives. The shape is Engine API 1.41.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from orchestrator.compose.model import Healthcheck, Mount, MountKind, Service
from orchestrator.errors import OperatorError

DROPPED_CAPABILITIES = ("AUDIT_WRITE", "MKNOD", "NET_RAW", "SETFCAP", "SYS_CHROOT")
"""Docker's default set less these. All of them cannot go: official images chown and change user as they start."""
MAX_RETRIES = 3
LOG_OPTIONS: Mapping[str, str] = {"max-size": "10m", "max-file": "2"}
_NANOSECONDS = 1_000_000_000
_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one container may use; a lower limit in the file counts."""

    memory_bytes: int
    cpus: float
    pids: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where a container is put: everything in its request that is not the file's to decide."""

    labels: Mapping[str, str]
    network: str
    """The Engine's name of the preview's network."""
    aliases: tuple[str, ...]
    """The names that lead to the container there; `aliases_of` gives those that Compose gives."""
    binds: Mapping[str, str]
    """Path in the repository to the path on the host of this preview's own copy."""
    limits: Limits
    volume_name: Callable[[str], str]
    """From the name in the file to the name on the Engine."""


def aliases_of(service: Service) -> tuple[str, ...]:
    """The service's name and every alias that the file gives it."""
    given = (alias for aliases in service.networks.values() for alias in aliases)
    return tuple(dict.fromkeys((service.name, *given)))


def container_body(service: Service, image: str, around: Surroundings) -> dict[str, Any]:
    """The body of `POST /containers/create`. A field that the file leaves to the image is left out."""
    optional = {
        "Cmd": None if service.command is None else list(service.command),
        "Entrypoint": None if service.entrypoint is None else list(service.entrypoint),
        "WorkingDir": service.working_dir,
        "User": service.user,
        "Hostname": service.hostname,
        "StopSignal": service.stop_signal,
        "StopTimeout": None if service.stop_grace_period is None else round(service.stop_grace_period),
        "Healthcheck": None if service.healthcheck is None else _healthcheck(service.healthcheck),
    }
    body: dict[str, Any] = {
        "Image": image,
        "Env": [f"{name}={value}" for name, value in sorted(service.environment.items())],
        "Labels": dict(around.labels),
        "Tty": service.tty,
        "OpenStdin": service.stdin_open,
        "HostConfig": _host_config(service, around),
        **{key: value for key, value in optional.items() if value is not None},
    }
    if service.networks:
        body["NetworkingConfig"] = {"EndpointsConfig": {around.network: {"Aliases": list(around.aliases)}}}
    return body


def config_hash(body: Mapping[str, Any]) -> str:
    """A short digest of a request without its labels: equal for two containers that need not be told apart."""
    plain = {key: value for key, value in body.items() if key != "Labels"}
    written = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(written.encode()).hexdigest()[:16]


def assert_harmless(body: Mapping[str, Any], around: Surroundings) -> None:
    """Raises OperatorError for any key or value of the request that no preview may ever send."""
    _walk(body, _allowed(around), "")


def _host_config(service: Service, around: Surroundings) -> dict[str, Any]:
    memory = _lower(service.limit.memory, around.limits.memory_bytes)
    optional = {
        "Init": service.init,
        "ShmSize": service.shm_size,
        "Tmpfs": dict(service.tmpfs) or None,
        "ExtraHosts": [f"{name}:{address}" for name, given in service.extra_hosts.items() for address in given] or None,
        "Mounts": [_mount(mount, around) for mount in service.volumes] or None,
    }
    return {
        "NetworkMode": around.network if service.networks else "none",
        "CapDrop": list(dict.fromkeys((*DROPPED_CAPABILITIES, *service.cap_drop))),
        "SecurityOpt": ["no-new-privileges"],
        "Privileged": False,
        "Memory": memory,
        "MemorySwap": memory,
        "NanoCpus": int(_lower(service.limit.cpus, around.limits.cpus) * _NANOSECONDS),
        "PidsLimit": _lower(service.limit.pids, around.limits.pids),
        "ReadonlyRootfs": service.read_only,
        "RestartPolicy": _restart_policy(service.restart),
        "LogConfig": {"Type": "json-file", "Config": dict(LOG_OPTIONS)},
        **{key: value for key, value in optional.items() if value is not None},
    }


def _lower(wanted: _Number | None, limit: _Number) -> _Number:
    return min(wanted, limit) if wanted else limit


def _restart_policy(restart: str) -> dict[str, Any]:
    """`always` would bring a removed preview back after a restart of the Engine: a few attempts are enough."""
    if restart == "no":
        return {"Name": "no"}
    return {"Name": "on-failure", "MaximumRetryCount": MAX_RETRIES}


def _healthcheck(check: Healthcheck) -> dict[str, Any]:
    seconds = {
        "Interval": check.interval,
        "Timeout": check.timeout,
        "StartPeriod": check.start_period,
    }
    return {
        **({"Test": list(check.test)} if check.test else {}),
        **({} if check.retries is None else {"Retries": check.retries}),
        **{key: int(value * _NANOSECONDS) for key, value in seconds.items() if value is not None},
    }


def _mount(mount: Mount, around: Surroundings) -> dict[str, Any]:
    body: dict[str, Any] = {"Target": mount.target, "ReadOnly": mount.read_only}
    match mount.kind:
        case MountKind.VOLUME:
            return {**body, "Type": "volume", "Source": around.volume_name(mount.source)}
        case MountKind.ANONYMOUS:
            return {**body, "Type": "volume"}
        case MountKind.BIND:
            return {
                **body,
                "Type": "bind",
                "Source": around.binds[mount.source],
                "BindOptions": {"Propagation": "rprivate"},
            }
        case MountKind.TMPFS:
            options = {} if mount.size is None else {"TmpfsOptions": {"SizeBytes": mount.size}}
            return {"Target": mount.target, "Type": "tmpfs", **options}


_Test = Callable[[object], bool]
_Allowed = Mapping[str, "_Test | _Allowed"]


def _walk(value: object, allowed: "_Test | _Allowed", path: str) -> None:
    if not isinstance(allowed, Mapping):
        if not allowed(value):
            raise OperatorError(f"refused to send {path} = {value!r} to the Engine", "This is a defect: report it.")
        return
    if not isinstance(value, Mapping):
        raise OperatorError(f"refused to send {path or 'the request'}: it is not an object", "Report this defect.")
    for key, child in value.items():
        if key not in allowed:
            raise OperatorError(f"refused to send {path}{key} to the Engine", "This is a defect: report it.")
        _walk(child, allowed[key], f"{path}{key}.")


def _allowed(around: Surroundings) -> _Allowed:
    """Every key that a request may have, and what its value may be."""
    return {
        "Image": _is_text,
        "Env": _are_texts,
        "Cmd": _are_texts,
        "Entrypoint": _are_texts,
        "WorkingDir": _is_text,
        "User": _is_text,
        "Hostname": _is_text,
        "Labels": lambda value: value == dict(around.labels),
        "Tty": _is_flag,
        "OpenStdin": _is_flag,
        "StopSignal": _is_text,
        "StopTimeout": _is_amount,
        "Healthcheck": {
            "Test": _are_texts,
            "Interval": _is_amount,
            "Timeout": _is_amount,
            "StartPeriod": _is_amount,
            "Retries": _is_amount,
        },
        "HostConfig": _allowed_host_config(around),
        "NetworkingConfig": {"EndpointsConfig": {around.network: {"Aliases": _are_texts}}},
    }


def _allowed_host_config(around: Surroundings) -> _Allowed:
    limits = around.limits
    return {
        "NetworkMode": lambda value: value in (around.network, "none"),
        "CapDrop": lambda value: _are_texts(value) and set(DROPPED_CAPABILITIES) <= set(_listed(value)),
        "SecurityOpt": lambda value: value == ["no-new-privileges"],
        "Privileged": lambda value: value is False,
        "Memory": lambda value: _is_amount(value, limits.memory_bytes),
        "MemorySwap": lambda value: _is_amount(value, limits.memory_bytes),
        "NanoCpus": lambda value: _is_amount(value, int(limits.cpus * _NANOSECONDS)),
        "PidsLimit": lambda value: _is_amount(value, limits.pids),
        "ShmSize": _is_amount,
        "ReadonlyRootfs": _is_flag,
        "Init": _is_flag,
        "RestartPolicy": {
            "Name": lambda value: value in ("no", "on-failure"),
            "MaximumRetryCount": lambda value: value == MAX_RETRIES,
        },
        "LogConfig": {
            "Type": lambda value: value == "json-file",
            "Config": lambda value: value == dict(LOG_OPTIONS),
        },
        "Tmpfs": lambda value: isinstance(value, dict) and _are_texts([*value, *value.values()]),
        "ExtraHosts": lambda value: _are_texts(value) and not any("host-gateway" in item for item in _listed(value)),
        "Mounts": lambda value: all(_is_harmless_mount(mount, around) for mount in _listed(value)),
    }


def _is_harmless_mount(mount: object, around: Surroundings) -> bool:
    """Only the host's paths that were given for this preview, and no option beside the ones that we set."""
    if not isinstance(mount, dict):
        return False
    known = {"Type", "Source", "Target", "ReadOnly", "BindOptions", "TmpfsOptions"}
    match mount.get("Type"):
        case "volume":
            return mount.keys() <= known - {"BindOptions", "TmpfsOptions"} and "/" not in mount.get("Source", "")
        case "bind":
            fine = mount.get("BindOptions") == {"Propagation": "rprivate"}
            return fine and mount.keys() <= known - {"TmpfsOptions"} and mount["Source"] in around.binds.values()
        case "tmpfs":
            return mount.keys() <= known - {"BindOptions", "Source"}
        case _:
            return False


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else [None]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(_is_text(item) for item in value)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_amount(value: object, limit: int | None = None) -> bool:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return False
    return limit is None or 0 < value <= limit
