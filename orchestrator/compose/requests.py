"""A service to the Engine's create-container request, and the policy once more on the finished request.

Pure. The launch step calls `container_body`, then `assert_harmless` on exactly the body that it sends. Ports are
never published; volumes, networks and labels carry the names that the caller gives. The shape is Engine API 1.41.
"""

import hashlib
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from orchestrator.compose.model import FileMount, Healthcheck, Mount, MountKind, Service
from orchestrator.compose.policy import MAX_GRACE, MAX_SHM, MAX_TMPFS, MIN_INTERVAL
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
    """The Engine's name of the first network; `create` takes one, and the launch step connects the others."""
    aliases: tuple[str, ...]
    """The names that lead to the container there; `aliases_of` gives those that Compose gives."""
    binds: Mapping[str, str]
    """Path in the repository to the path on the host of this preview's own copy."""
    limits: Limits
    volume_name: Callable[[str], str]
    """From the name in the file to the name on the Engine."""
    shared_network: str | None = None
    """`network_mode: service:NAME`: the id of that service's container, which is one of this preview's own."""
    links: tuple[str, ...] = ()
    """`container:alias` for each of `links`, by names of this preview's own containers."""
    volumes_from: tuple[str, ...] = ()
    """`container` or `container:ro` for each of `volumes_from`, by ids of this preview's own containers."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Target to the path on the host of each secret and config, which are mounted read-only."""


def aliases_of(service: Service, network: str | None = None) -> tuple[str, ...]:
    """The service's name and every alias that the file gives it, in one network or in all of them."""
    joined = service.networks.values() if network is None else (service.networks[network],)
    return tuple(dict.fromkeys((service.name, *(alias for aliases in joined for alias in aliases))))


def files_of(service: Service) -> tuple[FileMount, ...]:
    """Its secrets and configs. Where two have the same target the last one counts, as for volumes."""
    return tuple({file.target: file for file in (*service.configs, *service.secrets)}.values())


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
        "ExposedPorts": _exposed_ports(service) or None,
    }
    body: dict[str, Any] = {
        "Image": image,
        "Env": [*(f"{name}={value}" for name, value in sorted(service.environment.items())), *sorted(service.unset)],
        "Labels": dict(around.labels),
        "Tty": service.tty,
        "OpenStdin": service.stdin_open,
        "HostConfig": _host_config(service, around),
        **{key: value for key, value in optional.items() if value is not None},
    }
    if service.networks:
        body["NetworkingConfig"] = {"EndpointsConfig": {around.network: _endpoint(around)}}
    return body


def config_hash(body: Mapping[str, Any]) -> str:
    """A short digest of a request without its labels: equal for two containers that need not be told apart."""
    plain = {key: value for key, value in body.items() if key != "Labels"}
    written = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(written.encode()).hexdigest()[:16]


def assert_harmless(body: Mapping[str, Any], around: Surroundings) -> None:
    """Raises OperatorError for any key or value of the request that no preview may ever send."""
    _walk(body, _allowed(around), "")


def _endpoint(around: Surroundings) -> dict[str, Any]:
    links = {"Links": list(around.links)} if around.links else {}
    return {"Aliases": list(around.aliases), **links}


def _exposed_ports(service: Service) -> dict[str, dict[str, Any]]:
    """Published ports and `expose` both: inside of a preview they are only what the application listens on."""
    ports = [f"{port.target}/{port.protocol}" for port in service.ports]
    return {port: {} for port in (*ports, *(f"{port}/tcp" for port in service.expose))}


def _network_mode(service: Service, around: Surroundings) -> str:
    if around.shared_network is not None:
        return f"container:{around.shared_network}"
    return around.network if service.networks else "none"


def _ulimits(service: Service) -> list[dict[str, Any]]:
    return [{"Name": name, "Soft": limit.soft, "Hard": limit.hard} for name, limit in service.ulimits.items()]


def _host_config(service: Service, around: Surroundings) -> dict[str, Any]:
    memory = _lower(service.limit.memory, around.limits.memory_bytes)
    optional = {
        "Init": service.init,
        "ShmSize": service.shm_size,
        "Tmpfs": dict(service.tmpfs) or None,
        "ExtraHosts": [f"{name}:{address}" for name, given in service.extra_hosts.items() for address in given] or None,
        "Mounts": _mounts(service, around) or None,
        "VolumesFrom": list(around.volumes_from) or None,
        "Ulimits": _ulimits(service) or None,
    }
    return {
        "NetworkMode": _network_mode(service, around),
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


def _mounts(service: Service, around: Surroundings) -> list[dict[str, Any]]:
    files = (_bind(target, source, read_only=True) for target, source in around.files.items())
    return [*(_mount(mount, around) for mount in service.volumes), *files]


def _bind(target: str, source: str, *, read_only: bool) -> dict[str, Any]:
    options = {"Propagation": "rprivate"}
    return {"Target": target, "ReadOnly": read_only, "Type": "bind", "Source": source, "BindOptions": options}


def _mount(mount: Mount, around: Surroundings) -> dict[str, Any]:
    body: dict[str, Any] = {"Target": mount.target, "ReadOnly": mount.read_only}
    match mount.kind:
        case MountKind.VOLUME:
            no_copy = {"VolumeOptions": {"NoCopy": True}} if mount.no_copy else {}
            return {**body, "Type": "volume", "Source": around.volume_name(mount.source), **no_copy}
        case MountKind.ANONYMOUS:
            return {**body, "Type": "volume"}
        case MountKind.BIND:
            return _bind(mount.target, around.binds[mount.source], read_only=mount.read_only)
        case MountKind.TMPFS:
            given = {"SizeBytes": mount.size, "Mode": mount.mode}
            options = {"TmpfsOptions": {key: value for key, value in given.items() if value is not None}}
            return {"Target": mount.target, "Type": "tmpfs", **(options if any(options.values()) else {})}


# The policy once more: an allowlist over the whole request

_Test = Callable[[object], bool]


@dataclass(frozen=True, slots=True)
class _Object:
    """The keys that an object of the request may have, and what each value may be; `needed` may not be left out."""

    keys: Mapping[str, "_Test | _Object"]
    needed: frozenset[str] = frozenset()


_UNPRIVILEGED = frozenset(
    {"NetworkMode", "CapDrop", "SecurityOpt", "Memory", "MemorySwap", "NanoCpus", "PidsLimit", "LogConfig"}
)
"""Where one of these is missing the Engine takes its own default, which is no limit, or the host's own bridge."""
_NO_COPY = {"NoCopy": True}
_TARGET = re.compile(r"(/[^/\0]+)+/?")
_VOLUME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_PORT = re.compile(r"\d{1,5}/(tcp|udp|sctp)")
_TMPFS_OPTION = re.compile(r"rw|ro|noexec|nosuid|nodev|mode=[0-7]{1,4}|[ug]id=\d{1,10}|size=(?P<size>\d{1,12})")
_ULIMIT = re.compile(r"[a-z]{2,12}")


def _walk(value: object, allowed: "_Test | _Object", path: str) -> None:
    if not isinstance(allowed, _Object):
        if not allowed(value):
            raise _refusal(f"{path} = {value!r}")
        return
    if not isinstance(value, Mapping):
        raise _refusal(f"{path or 'the request'}, which is not an object")
    for key in sorted(allowed.needed - value.keys()):
        raise _refusal(f"a request without {_join(path, key)}")
    for key, child in value.items():
        if key not in allowed.keys:
            raise _refusal(_join(path, key))
        _walk(child, allowed.keys[key], _join(path, key))


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _refusal(what: str) -> OperatorError:
    return OperatorError(f"refused to send {what} to the Engine", "This is a defect of previewd: report it.")


def _allowed(around: Surroundings) -> _Object:
    """Every key that a request may have, and what its value may be."""
    endpoint = _Object({"Aliases": _are_texts, "Links": lambda value: value == list(around.links)})
    keys: dict[str, _Test | _Object] = {
        "Image": lambda value: _is_text(value) and value != "",
        "Env": lambda value: _are_texts(value) and all(item[:1] not in ("", "=") for item in _listed(value)),
        "Cmd": _are_texts,
        "Entrypoint": _are_texts,
        "WorkingDir": _is_text,
        "User": _is_text,
        "Hostname": _is_text,
        "Labels": lambda value: value == dict(around.labels),
        "Tty": _is_flag,
        "OpenStdin": _is_flag,
        "StopSignal": _is_text,
        "StopTimeout": lambda value: _is_amount(value, 0, int(MAX_GRACE)),
        "Healthcheck": _allowed_healthcheck(),
        "HostConfig": _allowed_host_config(around),
        "ExposedPorts": lambda value: isinstance(value, dict) and all(_is_port(*pair) for pair in value.items()),
        "NetworkingConfig": _Object({"EndpointsConfig": _Object({around.network: endpoint})}),
    }
    return _Object(keys, frozenset({"Image", "Labels", "HostConfig"}))


def _allowed_healthcheck() -> _Object:
    keys = dict.fromkeys(("Timeout", "StartPeriod", "Retries"), _is_amount)
    return _Object({"Test": _are_texts, "Interval": _is_interval, "StartInterval": _is_interval, **keys})


def _allowed_host_config(around: Surroundings) -> _Object:
    limits = around.limits
    nano_cpus = int(limits.cpus * _NANOSECONDS)
    keys: dict[str, _Test | _Object] = {
        "NetworkMode": lambda value: value in _network_modes(around),
        "CapDrop": lambda value: _are_texts(value) and set(DROPPED_CAPABILITIES) <= set(_listed(value)),
        "SecurityOpt": lambda value: value == ["no-new-privileges"],
        "Privileged": lambda value: value is False,
        "Memory": lambda value: _is_amount(value, 1, limits.memory_bytes),
        "MemorySwap": lambda value: _is_amount(value, 1, limits.memory_bytes),
        "NanoCpus": lambda value: _is_amount(value, 1, nano_cpus),
        "PidsLimit": lambda value: _is_amount(value, 1, limits.pids),
        "ShmSize": lambda value: _is_amount(value, 0, MAX_SHM),
        "ReadonlyRootfs": _is_flag,
        "Init": _is_flag,
        "RestartPolicy": lambda value: value in ({"Name": "no"}, _restart_policy("always")),
        "LogConfig": lambda value: value == {"Type": "json-file", "Config": dict(LOG_OPTIONS)},
        "Tmpfs": lambda value: isinstance(value, dict) and all(_is_tmpfs(*pair) for pair in value.items()),
        "ExtraHosts": lambda value: all(_is_host(item) for item in _listed(value)),
        "Mounts": lambda value: all(_is_harmless_mount(mount, around) for mount in _listed(value)),
        "VolumesFrom": lambda value: value == list(around.volumes_from),
        "Ulimits": lambda value: all(_is_ulimit(limit) for limit in _listed(value)),
    }
    return _Object(keys, _UNPRIVILEGED)


def _network_modes(around: Surroundings) -> tuple[str, ...]:
    """Another container's network only where the caller says that it is one of this preview's own."""
    shared = around.shared_network
    return (around.network, "none") if shared is None else (f"container:{shared}",)


def _is_port(port: object, published: object) -> bool:
    return _matches(_PORT, port) and published == {}


def _is_ulimit(limit: object) -> bool:
    if not isinstance(limit, dict) or limit.keys() != {"Name", "Soft", "Hard"}:
        return False
    amounts = (limit["Soft"], limit["Hard"])
    return _matches(_ULIMIT, limit["Name"]) and all(_is_amount(each, -1) for each in amounts)


def _is_tmpfs(target: object, options: object) -> bool:
    if not _is_target(target) or not isinstance(options, str):
        return False
    found = [_TMPFS_OPTION.fullmatch(option) for option in filter(None, options.split(","))]
    return all(option is not None and int(option["size"] or 0) <= MAX_TMPFS for option in found)


def _is_host(entry: object) -> bool:
    """`name:address`, and an address it must be: `host-gateway` is the Engine's word for the host."""
    _, colon, address = entry.partition(":") if isinstance(entry, str) else ("", "", "")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return bool(colon) and _is_text(entry)


def _is_harmless_mount(mount: object, around: Surroundings) -> bool:
    """Only the host's paths that were given for this preview, its own volumes, and options that we set."""
    if not isinstance(mount, dict) or not _is_target(mount.get("Target")):
        return False
    if not _is_flag(mount.get("ReadOnly", False)):
        return False
    rest = {key: value for key, value in mount.items() if key not in ("Target", "ReadOnly", "Type")}
    match mount.get("Type"):
        case "volume":
            return _is_own_volume(rest, around)
        case "bind":
            given = (*around.binds.values(), *around.files.values())
            return rest.pop("Source", None) in given and rest == {"BindOptions": {"Propagation": "rprivate"}}
        case "tmpfs":
            return rest.keys() <= {"TmpfsOptions"} and _is_tmpfs_options(rest.get("TmpfsOptions", {}))
        case _:
            return False


def _is_own_volume(rest: dict[str, Any], around: Surroundings) -> bool:
    """Every volume of a preview is called as one without a name would be, and then its name in the file."""
    if not rest.keys() <= {"Source", "VolumeOptions"} or rest.get("VolumeOptions", _NO_COPY) != _NO_COPY:
        return False
    own = around.volume_name("")
    source = rest.get("Source", f"{own}anonymous")
    return isinstance(source, str) and source.startswith(own) and _matches(_VOLUME, source.removeprefix(own))


def _is_tmpfs_options(options: object) -> bool:
    if not isinstance(options, dict) or not options.keys() <= {"SizeBytes", "Mode"}:
        return False
    return _is_amount(options.get("SizeBytes", 0), 0, MAX_TMPFS) and _is_amount(options.get("Mode", 0), 0, 0o7777)


def _is_target(target: object) -> bool:
    return _matches(_TARGET, target) and ".." not in str(target).split("/")


def _is_interval(value: object) -> bool:
    return value == 0 or _is_amount(value, int(MIN_INTERVAL * _NANOSECONDS))


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else [None]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(_is_text(item) for item in value)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_amount(value: object, least: int = 0, most: int | None = None) -> bool:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        return False
    return most is None or value <= most
