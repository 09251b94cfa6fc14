"""A service to the Engine's create-container request.

Pure. The launch step calls `container_body`, then `allowlist` judges exactly the body that it sends. Ports are never
published; volumes, networks and labels carry the names that the caller gives. The shape is Engine API 1.41.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from orchestrator.compose.model import FileMount, Healthcheck, Mount, MountKind, Service
from orchestrator.compose.policy.values import MAX_NANOSECONDS, is_path

DROPPED_CAPABILITIES = ("AUDIT_WRITE", "MKNOD", "NET_RAW", "SETFCAP", "SYS_CHROOT")
"""Docker's default set less these. All of them cannot go: official images chown and change user as they start."""
MAX_RETRIES = 3
LOG_OPTIONS: Mapping[str, str] = {"max-size": "10m", "max-file": "2"}
NANOSECONDS = 1_000_000_000
_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLimits:
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
    limits: ServiceLimits
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
    image_volumes: tuple[str, ...] = ()
    """The VOLUME paths of the image at which nothing else is mounted; `open_volumes` gives them."""
    volume_labels: Mapping[str, str] = field(default_factory=dict)
    """What marks volumes that have no name, which the Engine makes together with the container."""


def aliases_of(service: Service, network: str | None = None) -> tuple[str, ...]:
    """The service's name and every alias that the file gives it, in one network or in all of them."""
    joined = service.networks.values() if network is None else (service.networks[network],)
    return tuple(dict.fromkeys((service.name, *(alias for aliases in joined for alias in aliases))))


def files_of(service: Service) -> tuple[FileMount, ...]:
    """Its secrets and configs. Where two have the same target the last one counts, as for volumes."""
    return tuple({file.target: file for file in (*service.configs, *service.secrets)}.values())


def mount_targets(service: Service) -> frozenset[str]:
    """Where the service mounts something that another one may take over; what `tmpfs` names is its own."""
    return frozenset((*(mount.target for mount in service.volumes), *(file.target for file in files_of(service))))


def open_volumes(service: Service, volumes: Iterable[str], inherited: Collection[str]) -> tuple[str, ...]:
    """Those of the image's `volumes` that the Engine would make by itself: it mounts nothing else there.

    `inherited` is what is mounted in the containers of `volumes_from`. A path that is not absolute stays the Engine's
    to make: no request can name it.
    """
    covered = {*mount_targets(service), *service.tmpfs, *inherited}
    return tuple(path for path in volumes if path not in covered and is_path(path))


def anonymous_options(around: Surroundings) -> dict[str, Any]:
    """What a mount says of a volume without a name: whose it is, for as long as it may outlive its container."""
    return {"VolumeOptions": {"Labels": dict(around.volume_labels)}} if around.volume_labels else {}


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
        "NanoCpus": int(_lower(service.limit.cpus, around.limits.cpus) * NANOSECONDS),
        "PidsLimit": _lower(service.limit.pids, around.limits.pids),
        "ReadonlyRootfs": service.read_only,
        "RestartPolicy": restart_policy(service.restart),
        "LogConfig": {"Type": "json-file", "Config": dict(LOG_OPTIONS)},
        **{key: value for key, value in optional.items() if value is not None},
    }


def _lower(wanted: _Number | None, limit: _Number) -> _Number:
    return min(wanted, limit) if wanted else limit


def restart_policy(restart: str) -> dict[str, Any]:
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
        **{key: _nanoseconds(value) for key, value in seconds.items() if value is not None},
    }


def _nanoseconds(seconds: float) -> int:
    """Rounded up at the very end of what the Engine can hold, the product would be one too many."""
    return min(int(seconds * NANOSECONDS), MAX_NANOSECONDS)


def _mounts(service: Service, around: Surroundings) -> list[dict[str, Any]]:
    files = (_bind(target, source, read_only=True) for target, source in around.files.items())
    named = (_mount(mount, around) for mount in service.volumes)
    return [*named, *files, *(_anonymous(path, around, read_only=False) for path in around.image_volumes)]


def _bind(target: str, source: str, *, read_only: bool) -> dict[str, Any]:
    options = {"Propagation": "rprivate"}
    return {"Target": target, "ReadOnly": read_only, "Type": "bind", "Source": source, "BindOptions": options}


def _anonymous(target: str, around: Surroundings, *, read_only: bool) -> dict[str, Any]:
    return {"Target": target, "ReadOnly": read_only, "Type": "volume", **anonymous_options(around)}


def _mount(mount: Mount, around: Surroundings) -> dict[str, Any]:
    body: dict[str, Any] = {"Target": mount.target, "ReadOnly": mount.read_only}
    match mount.kind:
        case MountKind.VOLUME:
            no_copy = {"VolumeOptions": {"NoCopy": True}} if mount.no_copy else {}
            return {**body, "Type": "volume", "Source": around.volume_name(mount.source), **no_copy}
        case MountKind.ANONYMOUS:
            return _anonymous(mount.target, around, read_only=mount.read_only)
        case MountKind.BIND:
            return _bind(mount.target, around.binds[mount.source], read_only=mount.read_only)
        case MountKind.TMPFS:
            given = {"SizeBytes": mount.size, "Mode": mount.mode}
            options = {"TmpfsOptions": {key: value for key, value in given.items() if value is not None}}
            return {"Target": mount.target, "Type": "tmpfs", **(options if any(options.values()) else {})}
