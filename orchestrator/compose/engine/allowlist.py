"""The policy once more, on the finished request: an allowlist over the whole body that is sent to the Engine.

Pure. The launch step calls `assert_harmless` on exactly what it sends, so that no way around the form of a Compose file
leads to the Engine. What each value may be is said in `values`, by which the reader of the file refuses it too.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.compose.engine.request import (
    DROPPED_CAPABILITIES,
    LOG_OPTIONS,
    NANOSECONDS,
    Surroundings,
    anonymous_options,
    restart_policy,
)
from orchestrator.compose.policy.keys import MAX_GRACE, MAX_SHM, MAX_TMPFS, MIN_INTERVAL
from orchestrator.compose.policy.values import (
    MAX_MODE,
    MAX_NANOSECONDS,
    is_address,
    is_host,
    is_path,
    is_signal,
    is_tmpfs_option,
    is_volume,
    is_working_dir,
)
from orchestrator.preview.errors import OperatorError

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
_PORT = re.compile(r"[0-9]{1,5}/(tcp|udp|sctp)")
_ULIMIT = re.compile(r"[a-z]{2,12}")


def assert_harmless(body: Mapping[str, Any], around: Surroundings) -> None:
    """Raises OperatorError for any key or value of the request that no preview may ever send."""
    _walk(body, _allowed(around), "")


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
        "WorkingDir": is_working_dir,
        "User": _is_text,
        "Hostname": _is_text,
        "Labels": lambda value: value == dict(around.labels),
        "Tty": _is_flag,
        "OpenStdin": _is_flag,
        "StopSignal": is_signal,
        "StopTimeout": lambda value: _is_amount(value, 0, int(MAX_GRACE)),
        "Healthcheck": _allowed_healthcheck(),
        "HostConfig": _allowed_host_config(around),
        "ExposedPorts": lambda value: isinstance(value, dict) and all(_is_port(*pair) for pair in value.items()),
        "NetworkingConfig": _Object({"EndpointsConfig": _Object({around.network: endpoint})}),
    }
    return _Object(keys, frozenset({"Image", "Labels", "HostConfig"}))


def _allowed_healthcheck() -> _Object:
    keys = dict.fromkeys(("Timeout", "StartPeriod", "Retries"), _is_time)
    return _Object({"Test": _are_texts, "Interval": _is_interval, **keys})


def _allowed_host_config(around: Surroundings) -> _Object:
    limits = around.limits
    nano_cpus = int(limits.cpus * NANOSECONDS)
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
        "RestartPolicy": lambda value: value in ({"Name": "no"}, restart_policy("always")),
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
    if not is_path(target) or not isinstance(options, str):
        return False
    return all(is_tmpfs_option(option, MAX_TMPFS) for option in filter(None, options.split(",")))


def _is_host(entry: object) -> bool:
    """`name:address`, and an address it must be: `host-gateway` is the Engine's word for the host."""
    name, _, address = entry.partition(":") if isinstance(entry, str) else ("", "", "")
    return is_host(name) and is_address(address)


def _is_harmless_mount(mount: object, around: Surroundings) -> bool:
    """Only the host's paths that were given for this preview, its own volumes, and options that we set."""
    if not isinstance(mount, dict) or not is_path(mount.get("Target")):
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
    """Every volume of a preview is called as one without a name would be, and then its name in the file.

    One that has no name at all carries exactly our labels: it may outlive its container.
    """
    if "Source" not in rest:
        return rest == anonymous_options(around)
    if not rest.keys() <= {"Source", "VolumeOptions"} or rest.get("VolumeOptions", _NO_COPY) != _NO_COPY:
        return False
    own, source = around.volume_name(""), rest["Source"]
    return isinstance(source, str) and source.startswith(own) and is_volume(source.removeprefix(own))


def _is_tmpfs_options(options: object) -> bool:
    if not isinstance(options, dict) or not options.keys() <= {"SizeBytes", "Mode"}:
        return False
    return _is_amount(options.get("SizeBytes", 0), 0, MAX_TMPFS) and _is_amount(options.get("Mode", 0), 0, MAX_MODE)


def _is_interval(value: object) -> bool:
    return value == 0 or _is_amount(value, int(MIN_INTERVAL * NANOSECONDS), MAX_NANOSECONDS)


def _is_time(value: object) -> bool:
    return _is_amount(value, 0, MAX_NANOSECONDS)


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
