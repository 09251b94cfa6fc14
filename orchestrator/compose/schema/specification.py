"""The Compose language as one table: every key of the specification, and the shape of what stands below it.

Pure data. `project` brings files into this shape, `merge` and `canonical` walk it. It says what Compose reads; what
previewd takes of it is said by `policy`.
"""

import math
import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from orchestrator.compose.schema import short_forms
from orchestrator.compose.schema.shapes import NAME, Leaf, Listing, Record, Shape, Table
from orchestrator.compose.syntax.casts import (
    boolean,
    duration_text,
    go_duration,
    integer,
    one_of,
    refuse,
    scalar_text,
    signed,
    size,
    text,
    whole,
)
from orchestrator.compose.syntax.load import Node, Scalar

_CONTAINER_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_PULL_POLICY = re.compile(r"always|never|build|if_not_present|missing|refresh|daily|weekly|every_([0-9]+[wdhms])+")
_OCTAL = re.compile(r"[0-7]{1,20}")


def _text_or_nothing(node: Node) -> Scalar:
    return None if node.value is None else scalar_text(node)


def _text_or_empty(node: Node) -> str:
    return "" if node.value is None else scalar_text(node)


def _number_text(node: Node) -> str:
    if isinstance(node.value, bool):
        raise refuse(node, "this must be a string or a number, and is a boolean", "Put it in quotes.")
    return scalar_text(node)


def _option_or_empty(node: Node) -> str:
    return "" if node.value is None else _number_text(node)


def _bytes(node: Node) -> int:
    """A size, or -1 for no limit. A number with a fraction or an exponent is read, and then means nothing."""
    if isinstance(node.value, float):
        return 0
    if isinstance(node.value, int) and not isinstance(node.value, bool):
        return node.value
    return -1 if node.value == "-1" else size(node)


def _whole_bytes(node: Node) -> int:
    if isinstance(node.value, float):
        raise refuse(node, f"`{node.value}` is not a size", "Write a whole number of bytes, or one with k, m or g.")
    return _bytes(node)


def _written_size(node: Node) -> int:
    return size(replace(node, value=text(node)))


def _positive_size(node: Node) -> int:
    if _bytes(node) < 0:
        raise refuse(node, f"`{node.value}` is not a size", "Write a number of bytes, or one with k, m or g.")
    return _bytes(node)


def _true_or_false(node: Node) -> bool:
    """A boolean, and only a boolean: Compose does not cast here."""
    if not isinstance(node.value, bool):
        raise refuse(node, f"this must be true or false, and is {node.kind}", "Write it without quotes.")
    return node.value


def _truncated(node: Node) -> int:
    """A whole number; what stands behind the point counts for nothing."""
    return int(node.value) if isinstance(node.value, float) and math.isfinite(node.value) else whole(node)


def _within(low: int, high: int) -> Callable[[Node], int]:
    return lambda node: integer(node, low, high)


def _device_count(node: Node) -> int:
    return -1 if node.value == "all" else whole(node)


def _exposed(node: Node) -> str:
    if isinstance(node.value, str) or (isinstance(node.value, int) and not isinstance(node.value, bool)):
        return str(node.value)
    raise refuse(node, f"this must be a port, and is {node.kind}", "Write 8000, or a range such as 8000-8002.")


def _file_mode(node: Node) -> str:
    """Permission bits as Compose writes them: a number counts as it is read, a string is octal."""
    if isinstance(node.value, str):
        if _OCTAL.fullmatch(node.value) is None:
            raise refuse(node, f"`{node.value}` is not a file mode", "Write one such as 0440.")
        return f"0{int(node.value, 8):o}"
    return f"0{whole(node):o}"


def _address(node: Node) -> str:
    return text(node).removeprefix("[").removesuffix("]")


def _clean_path(node: Node) -> str:
    return posixpath.normpath(text(node)) if node.value else text(node)


def _container_name(node: Node) -> str:
    if _CONTAINER_NAME.search(text(node)) is None:
        raise refuse(node, f"`{node.value}` is not a container's name", "Use two letters or more: letters, digits, _.-")
    return text(node)


def _pull_policy(node: Node) -> str:
    policy = text(node)
    if _PULL_POLICY.fullmatch(policy) is None:
        raise refuse(node, f"`{policy}` is not a pull policy", "Write always, missing, never or build.")
    return "missing" if policy == "if_not_present" else policy


def _shown_size(value: Scalar) -> object:
    return str(value) if value else ""


def _shown_duration(value: Scalar) -> object:
    return go_duration(str(value))


def _shown_delay(value: Scalar) -> object:
    """No delay is printed as nothing, where Go has no pointer to tell them apart."""
    shown = go_duration(str(value))
    return "" if shown == "0s" else shown


def _before_equals(node: Node) -> str:
    return str(node.value).partition("=")[0]


def _value(node: Node) -> str:
    return str(node.value)


def _field(node: Node, key: str, default: str = "") -> str:
    found = node.value.get(key) if isinstance(node.value, dict) else None
    return default if found is None or found.value in (None, "") else str(found.value)


def _target(node: Node) -> str:
    if not _field(node, "target"):
        raise refuse(node, "this has no `target`", "Say where it stands in the container: `target: /data`.")
    return _field(node, "target")


def _config_target(node: Node) -> str:
    return _field(node, "target") or "/" + _field(node, "source")


def _port(node: Node) -> str:
    if not _field(node, "target"):
        raise refuse(node, "a port needs `target`", "Write `target: 8000`.")
    parts = (_field(node, key, default) for key, default in _PORT_KEY.items())
    return "|".join(parts)


_PORT_KEY: Mapping[str, str] = {"host_ip": "0.0.0.0", "published": "", "target": "", "protocol": "tcp"}  # noqa: S104 - what no address means

TEXT = Leaf(read=text)
PATH = Leaf(read=text, is_path=True)
FLAG = Leaf(read=boolean)
SAID_FLAG = Leaf(read=boolean, keep_empty=True)
WHOLE = Leaf(read=whole)
SAID_WHOLE = Leaf(read=whole, keep_empty=True)
TRUNCATED = Leaf(read=_truncated)
WEIGHT = Leaf(read=_within(0, 2**16 - 1))
NUMBER = Leaf(read=signed)
SIZE = Leaf(read=_bytes, show=_shown_size)
WHOLE_SIZE = Leaf(read=_whole_bytes, show=_shown_size)
COUNT = Leaf(read=_within(0, 2**63 - 1), keep_empty=True)
DURATION = Leaf(read=duration_text, show=_shown_duration)
DELAY = Leaf(read=duration_text, show=_shown_delay)
LABEL = Leaf(read=_text_or_empty, nullable=True)
OPTION = Leaf(read=_number_text)
LOG_OPTION = Leaf(read=_option_or_empty, nullable=True)
VARIABLE = Leaf(read=_text_or_nothing, nullable=True)

TEXTS = Listing(item=TEXT)
MANY_TEXTS = Listing(item=TEXT, repeats=True)
TEXT_OR_LIST = Listing(item=TEXT, long=short_forms.listed)
KEYED_TEXTS = Listing(item=TEXT, key=_before_equals)
KEYED_TEXT_OR_LIST = Listing(item=TEXT, key=_before_equals, long=short_forms.listed)
LABELS = Table(value=LABEL, long=short_forms.keyed)
OPTIONS = Table(value=OPTION)
TEXT_TABLE = Table(value=TEXT)
VARIABLES = Table(value=VARIABLE, long=short_forms.keyed)
COMMAND = Listing(item=TEXT, repeats=True, long=short_forms.command, replaced=True, nullable=True, keep_empty=True)
HOSTS = Table(value=Listing(item=Leaf(read=_address), repeats=True, long=short_forms.listed), long=short_forms.hosts)
ULIMITS = Table(
    value=Record(
        fields={"soft": SAID_WHOLE, "hard": SAID_WHOLE, "single": SAID_WHOLE}, long=short_forms.ulimit, replaced=True
    )
)

_MODE = Leaf(read=_file_mode)
_FILE_MOUNT: Mapping[str, Shape] = {"source": TEXT, "target": TEXT, "uid": TEXT, "gid": TEXT, "mode": _MODE}
SECRETS = Listing(
    item=Record(fields=_FILE_MOUNT, long=short_forms.secret_mount),
    key=_target,
)
CONFIGS = Listing(item=Record(fields=_FILE_MOUNT, long=short_forms.file_mount), key=_config_target)
BUILD_SECRETS = Listing(item=Record(fields=_FILE_MOUNT, long=short_forms.file_mount), repeats=True)

MOUNT = Record(
    fields={
        "type": Leaf(read=one_of("bind", "volume", "tmpfs", "cluster", "npipe", "image")),
        "source": TEXT,
        "target": Leaf(read=_clean_path),
        "read_only": FLAG,
        "consistency": TEXT,
        "bind": Record(
            fields={
                "propagation": TEXT,
                "create_host_path": SAID_FLAG,
                "recursive": Leaf(read=one_of("enabled", "disabled", "writable", "readonly")),
                "selinux": Leaf(read=one_of("z", "Z")),
            },
            keep_empty=True,
        ),
        "volume": Record(fields={"labels": LABELS, "nocopy": FLAG, "subpath": TEXT}, keep_empty=True),
        "tmpfs": Record(fields={"size": Leaf(read=_positive_size, show=_shown_size), "mode": WHOLE}, keep_empty=True),
        "image": Record(fields={"subpath": TEXT}, keep_empty=True),
    },
    required=("type",),
    long=short_forms.mount,
)
DEVICE_REQUEST: Mapping[str, Shape] = {
    "capabilities": TEXTS,
    "count": Leaf(read=_device_count),
    "device_ids": TEXTS,
    "driver": TEXT,
    "options": LABELS,
}
_RATE = Listing(
    item=Record(fields={"path": TEXT, "rate": SIZE}, shown_as={"path": "Path", "rate": "Rate"}), repeats=True
)
_WEIGHT = Listing(
    item=Record(fields={"path": TEXT, "weight": WEIGHT}, shown_as={"path": "Path", "weight": "Weight"}), repeats=True
)
HOOK: Mapping[str, Shape] = {
    "command": COMMAND,
    "user": TEXT,
    "privileged": FLAG,
    "working_dir": TEXT,
    "environment": VARIABLES,
}
_HOOKS = Listing(item=Record(fields=HOOK, required=("command",)), repeats=True)
_UPDATE = Record(
    fields={
        "parallelism": COUNT,
        "delay": DELAY,
        "failure_action": TEXT,
        "monitor": DELAY,
        "max_failure_ratio": NUMBER,
        "order": Leaf(read=one_of("start-first", "stop-first")),
    }
)
BUILD = Record(
    fields={
        "additional_contexts": Table(value=PATH, long=short_forms.keyed),
        "args": VARIABLES,
        "cache_from": MANY_TEXTS,
        "cache_to": MANY_TEXTS,
        "context": PATH,
        "dockerfile": TEXT,
        "dockerfile_inline": TEXT,
        "entitlements": MANY_TEXTS,
        "extra_hosts": HOSTS,
        "isolation": TEXT,
        "labels": LABELS,
        "network": TEXT,
        "no_cache": FLAG,
        "no_cache_filter": TEXT_OR_LIST,
        "platforms": MANY_TEXTS,
        "privileged": FLAG,
        "provenance": LABEL,
        "pull": FLAG,
        "sbom": LABEL,
        "secrets": BUILD_SECRETS,
        "shm_size": WHOLE_SIZE,
        "ssh": VARIABLES,
        "tags": KEYED_TEXTS,
        "target": TEXT,
        "ulimits": ULIMITS,
    },
    long=short_forms.record("context"),
)
DEPLOY = Record(
    fields={
        "endpoint_mode": TEXT,
        "labels": LABELS,
        "mode": TEXT,
        "placement": Record(
            fields={
                "constraints": MANY_TEXTS,
                "preferences": Listing(item=Record(fields={"spread": TEXT}), repeats=True),
                "max_replicas_per_node": COUNT,
            },
            keep_empty=True,
        ),
        "replicas": COUNT,
        "resources": Record(
            fields={
                "limits": Record(
                    fields={"cpus": NUMBER, "memory": Leaf(read=_written_size, show=_shown_size), "pids": WHOLE},
                    keep_empty=True,
                ),
                "reservations": Record(
                    fields={
                        "cpus": NUMBER,
                        "memory": Leaf(read=_written_size, show=_shown_size),
                        "generic_resources": Listing(
                            item=Record(
                                fields={"discrete_resource_spec": Record(fields={"kind": TEXT, "value": NUMBER})}
                            ),
                            repeats=True,
                        ),
                        "devices": Listing(
                            item=Record(fields=DEVICE_REQUEST, required=("capabilities",), long=short_forms.requested),
                            repeats=True,
                        ),
                    },
                    keep_empty=True,
                ),
            },
            keep_empty=True,
        ),
        "restart_policy": Record(
            fields={"condition": TEXT, "delay": DURATION, "max_attempts": COUNT, "window": DURATION}
        ),
        "rollback_config": _UPDATE,
        "update_config": _UPDATE,
    },
    nullable=True,
    keep_empty=True,
)
DEVELOP = Record(
    fields={
        "watch": Listing(
            item=Record(
                fields={
                    "action": Leaf(read=one_of("rebuild", "sync", "restart", "sync+restart", "sync+exec")),
                    "exec": Record(fields=HOOK, required=("command",)),
                    "ignore": TEXT_OR_LIST,
                    "include": TEXT_OR_LIST,
                    "initial_sync": Leaf(read=_true_or_false),
                    "path": PATH,
                    "target": TEXT,
                },
                required=("path", "action"),
            ),
            repeats=True,
        )
    },
    nullable=True,
)
HEALTHCHECK = Record(
    fields={
        "disable": FLAG,
        "interval": DURATION,
        "retries": COUNT,
        "start_interval": DURATION,
        "start_period": DURATION,
        "test": Listing(item=TEXT, repeats=True, long=short_forms.test, replaced=True),
        "timeout": DURATION,
    }
)
SERVICE_NETWORKS = Table(
    value=Record(
        fields={
            "aliases": KEYED_TEXTS,
            "driver_opts": OPTIONS,
            "gw_priority": NUMBER,
            "interface_name": TEXT,
            "ipv4_address": TEXT,
            "ipv6_address": TEXT,
            "link_local_ips": KEYED_TEXTS,
            "mac_address": TEXT,
            "priority": NUMBER,
            "use_service_name_alias": FLAG,
        },
        nullable=True,
        keep_empty=True,
    ),
    name=NAME,
    long=short_forms.named,
)

_CONTAINER: Mapping[str, Shape] = {
    "annotations": LABELS,
    "blkio_config": Record(
        fields={
            "device_read_bps": _RATE,
            "device_read_iops": _RATE,
            "device_write_bps": _RATE,
            "device_write_iops": _RATE,
            "weight": WEIGHT,
            "weight_device": _WEIGHT,
        },
        keep_empty=True,
    ),
    "cap_add": KEYED_TEXTS,
    "cap_drop": KEYED_TEXTS,
    "cgroup": Leaf(read=one_of("host", "private")),
    "cgroup_parent": TEXT,
    "command": COMMAND,
    "configs": CONFIGS,
    "cpu_count": Leaf(read=_within(0, 2**63 - 1)),
    "cpu_percent": Leaf(read=_within(0, 100)),
    "cpu_period": TRUNCATED,
    "cpu_quota": TRUNCATED,
    "cpu_rt_period": TRUNCATED,
    "cpu_rt_runtime": TRUNCATED,
    "cpu_shares": TRUNCATED,
    "cpus": NUMBER,
    "cpuset": TEXT,
    "credential_spec": Record(fields={"config": TEXT, "file": TEXT, "registry": TEXT}),
    "device_cgroup_rules": TEXTS,
    "devices": Listing(
        item=Record(
            fields={"source": TEXT, "target": TEXT, "permissions": TEXT}, required=("source",), long=short_forms.device
        ),
        key=_target,
    ),
    "dns": Listing(item=TEXT, key=_before_equals, long=short_forms.said),
    "dns_opt": KEYED_TEXTS,
    "dns_search": KEYED_TEXT_OR_LIST,
    "domainname": TEXT,
    "entrypoint": COMMAND,
    "env_file": Listing(
        item=Record(
            fields={"path": PATH, "required": SAID_FLAG, "format": TEXT},
            required=("path",),
            long=short_forms.record("path"),
        ),
        key=lambda node: _field(node, "path"),
        long=short_forms.listed,
    ),
    "environment": VARIABLES,
    "extra_hosts": HOSTS,
    "gpus": Listing(
        item=Record(fields=DEVICE_REQUEST, long=short_forms.requested),
        repeats=True,
        long=short_forms.gpus,
        nullable=True,
    ),
    "group_add": Listing(item=OPTION),
    "hostname": TEXT,
    "image": TEXT,
    "init": SAID_FLAG,
    "ipc": TEXT,
    "isolation": TEXT,
    "label_file": Listing(item=PATH, repeats=True, long=short_forms.listed),
    "labels": LABELS,
    "logging": Record(fields={"driver": TEXT, "options": Table(value=LOG_OPTION)}, agree_on="driver", keep_empty=True),
    "mac_address": TEXT,
    "mem_limit": SIZE,
    "mem_reservation": WHOLE_SIZE,
    "mem_swappiness": WHOLE_SIZE,
    "memswap_limit": SIZE,
    "models": Table(
        value=Record(fields={"endpoint_var": TEXT, "model_var": TEXT}, nullable=True, keep_empty=True),
        name=NAME,
        long=short_forms.named,
    ),
    "network_mode": TEXT,
    "networks": SERVICE_NETWORKS,
    "oom_kill_disable": FLAG,
    "oom_score_adj": Leaf(read=_within(-1000, 1000)),
    "pid": Leaf(read=_text_or_empty, nullable=True),
    "pids_limit": TRUNCATED,
    "platform": TEXT,
    "privileged": FLAG,
    "pull_policy": Leaf(read=_pull_policy),
    "pull_refresh_after": TEXT,
    "read_only": FLAG,
    "runtime": TEXT,
    "secrets": SECRETS,
    "security_opt": TEXTS,
    "shm_size": SIZE,
    "stop_grace_period": Leaf(read=duration_text, show=_shown_duration, keep_empty=True),
    "stop_signal": TEXT,
    "storage_opt": Table(value=LABEL),
    "sysctls": LABELS,
    "tmpfs": KEYED_TEXT_OR_LIST,
    "umask": TEXT,
    "ulimits": ULIMITS,
    "use_api_socket": Leaf(read=_true_or_false),
    "user": TEXT,
    "userns_mode": TEXT,
    "uts": TEXT,
    "volumes": Listing(item=MOUNT, key=_target),
    "volumes_from": TEXTS,
    "working_dir": TEXT,
}
_WORKLOAD: Mapping[str, Shape] = {
    "build": BUILD,
    "depends_on": Table(
        value=Record(
            fields={
                "condition": Leaf(read=one_of("service_started", "service_healthy", "service_completed_successfully")),
                "required": SAID_FLAG,
                "restart": FLAG,
            },
            required=("condition",),
            long=short_forms.dependency,
        ),
        name=NAME,
        long=short_forms.depended,
    ),
    "expose": Listing(item=Leaf(read=_exposed), key=_value),
    "healthcheck": HEALTHCHECK,
    "ports": Listing(
        item=Record(
            fields={
                "app_protocol": TEXT,
                "host_ip": TEXT,
                "mode": TEXT,
                "name": TEXT,
                "protocol": TEXT,
                "published": OPTION,
                "target": WHOLE,
            },
            long=short_forms.port,
        ),
        key=_port,
        long=short_forms.ports,
    ),
    "stdin_open": FLAG,
    "tty": FLAG,
}
SERVICE = Record(
    fields={
        **_CONTAINER,
        **_WORKLOAD,
        "attach": SAID_FLAG,
        "container_name": Leaf(read=_container_name),
        "deploy": DEPLOY,
        "develop": DEVELOP,
        "external_links": TEXTS,
        "links": KEYED_TEXTS,
        "post_start": _HOOKS,
        "pre_start": Listing(item=Record(fields={**_CONTAINER, "per_replica": FLAG}), repeats=True),
        "pre_stop": _HOOKS,
        "profiles": KEYED_TEXTS,
        "provider": Record(
            fields={
                "type": TEXT,
                "options": Table(value=Listing(item=LABEL, repeats=True, long=short_forms.listed_scalar)),
            },
            required=("type",),
        ),
        "restart": TEXT,
        "scale": COUNT,
    },
    nullable=True,
)
JOB = Record(
    fields={
        **_CONTAINER,
        **_WORKLOAD,
        "profiles": KEYED_TEXTS,
        "triggers": Record(
            fields={
                "manual": FLAG,
                "schedule": Listing(
                    item=Record(
                        fields={
                            "concurrency": Leaf(read=one_of("forbid", "queue")),
                            "cron": TEXT,
                            "missed_fires": Leaf(read=one_of("one", "skip")),
                            "timezone": TEXT,
                        },
                        required=("cron",),
                        long=short_forms.record("cron"),
                    ),
                    repeats=True,
                ),
            }
        ),
    },
    required=("triggers",),
)
NETWORK = Record(
    fields={
        "attachable": FLAG,
        "driver": TEXT,
        "driver_opts": OPTIONS,
        "enable_ipv4": SAID_FLAG,
        "enable_ipv6": SAID_FLAG,
        "external": FLAG,
        "internal": FLAG,
        "ipam": Record(
            fields={
                "config": Listing(
                    item=Record(
                        fields={"aux_addresses": TEXT_TABLE, "gateway": TEXT, "ip_range": TEXT, "subnet": TEXT}
                    ),
                    overlay=lambda node: _field(node, "subnet"),
                    repeats=True,
                ),
                "driver": TEXT,
                "options": TEXT_TABLE,
            },
            keep_empty=True,
        ),
        "labels": LABELS,
        "name": TEXT,
    },
    long=short_forms.external,
    nullable=True,
)
VOLUME = Record(
    fields={"driver": TEXT, "driver_opts": OPTIONS, "external": FLAG, "labels": LABELS, "name": TEXT},
    long=short_forms.external,
    nullable=True,
)
SECRET = Record(
    fields={
        "driver": TEXT,
        "driver_opts": OPTIONS,
        "environment": TEXT,
        "external": FLAG,
        "file": PATH,
        "labels": LABELS,
        "name": TEXT,
        "template_driver": TEXT,
    },
    long=short_forms.external,
)
CONFIG = Record(
    fields={
        "content": TEXT,
        "environment": TEXT,
        "external": FLAG,
        "file": PATH,
        "labels": LABELS,
        "name": TEXT,
        "template_driver": TEXT,
    },
    long=short_forms.external,
)
MODEL = Record(
    fields={"context_size": WHOLE, "model": TEXT, "name": TEXT, "runtime_flags": MANY_TEXTS},
    required=("model",),
)
SECTIONS: Mapping[str, Shape] = {
    "services": Table(value=SERVICE, name=NAME),
    "jobs": Table(value=JOB, name=NAME),
    "networks": Table(value=NETWORK, name=NAME),
    "volumes": Table(value=VOLUME, name=NAME),
    "secrets": Table(value=SECRET, name=NAME),
    "configs": Table(value=CONFIG, name=NAME),
    "models": Table(value=MODEL, name=NAME),
}
"""What an included file brings; `name`, `version` and `include` are each file's own."""
FILE = Record(fields={"name": TEXT, "version": TEXT, **SECTIONS})
INCLUDE = Listing(
    item=Record(
        fields={"env_file": TEXT_OR_LIST, "path": TEXT_OR_LIST, "project_directory": TEXT},
        required=("path",),
        long=short_forms.record("path"),
    ),
    repeats=True,
    nullable=True,
)
EXTENDS = Record(fields={"file": TEXT, "service": TEXT}, required=("service",), long=short_forms.record("service"))
