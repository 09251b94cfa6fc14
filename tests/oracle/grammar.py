"""What generated services are made of: for every key values that are right, odd and wrong.

Keys that only one service of a project may use in the same way (`container_name`) are left to the table of cases.
"""

import posixpath
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st


def _mostly(*right: object, wrong: object) -> st.SearchStrategy[Any]:
    """Right values, and a wrong one now and then: what is refused costs a call of the binary of its own."""
    return st.sampled_from([*right * 3, wrong])


_WORDS = st.sampled_from(["a", "b c", "x-1", "", "$FOO", "${NOPE:-d}", "$$x", "${EMPTY-e}", "é", "0", "true", "1.5"])
_WRONG: st.SearchStrategy[Any] = st.sampled_from([None, True, 5, 1.5, "", "odd", [], {}, [1], ["odd"], {"odd": 1}])
_FLAGS = _mostly(*(True, False, "true", "no", "${NOPE:-on}"), wrong="maybe")
_WHOLE = _mostly(0, 1, 7, 100, "3", "$NUMBER", wrong="x") | _mostly(0, 5, wrong=-1)
_NUMBERS = _mostly(0, 1, 0.5, "0.25", "1", wrong="x")
_SIZES = _mostly(0, 1, 4096, "64m", "1gb", "1.5g", "512", "10kib", wrong="x")
_DURATIONS = _mostly("1s", "90s", "1m30s", "1500ms", "2h", "1d", "0s", "1.5h", wrong="10")
_PORTS = _mostly(80, "80", "8080:80", "127.0.0.1:80:80", "80/udp", "80-82", "90-92:80-82", wrong="1:2:3:4")
_MOUNTS = _mostly(
    "data:/d", "data:/e:ro", "./here:/h", "/abs:/a:rw,z", "~/x:/x", "/anon", ".:/w/../v/", wrong="nope:/n"
)
_ADDRESSES = st.sampled_from(["1.1.1.1", "::1", "[::1]", "host-gateway"])


def _some(values: Mapping[str, st.SearchStrategy[Any]], required: tuple[str, ...] = ()) -> st.SearchStrategy[Any]:
    needed = {key: value for key, value in values.items() if key in required}
    return st.fixed_dictionaries(needed, optional={k: v for k, v in values.items() if k not in required})


def _few(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(values, max_size=3)


def _pairs(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.sampled_from(["A", "FOO", "NOPE", "b.c", "d-e"])
    lines = st.sampled_from(["A=1", "A=2", "FOO", "NOPE", "B=", "C=x=y", "D=$FOO"])
    return st.dictionaries(names, values, max_size=3) | _few(lines)


_VALUES = st.sampled_from(["v", "", None, 1, 1.5, True, "$FOO", "${NOPE:-x}"])
_COMMANDS = st.sampled_from(["run it", "a 'b c'", "a && b", "", 'x "y z"', "$FOO", None]) | _few(_WORDS)
_LONG_PORT = _some(
    {
        "target": st.sampled_from([80, "81", "x"]),
        "published": st.sampled_from([8080, "8081", "90-91"]),
        "protocol": st.sampled_from(["tcp", "udp"]),
        "mode": st.sampled_from(["host", "ingress"]),
        "host_ip": st.just("1.2.3.4"),
        "name": st.just("web"),
    },
    ("target",),
)
_LONG_MOUNT = _some(
    {
        "type": st.sampled_from(["bind", "volume", "tmpfs", "image", "odd"]),
        "source": st.sampled_from(["data", "./here", "/abs"]),
        "target": st.sampled_from(["/t", "/u/", "/v/../w"]),
        "read_only": _FLAGS,
        "volume": _some({"nocopy": _FLAGS, "subpath": st.just("s"), "labels": _pairs(_VALUES)}),
        "bind": _some({"create_host_path": _FLAGS, "propagation": st.just("shared"), "selinux": st.just("z")}),
        "tmpfs": _some({"size": _SIZES, "mode": st.sampled_from([0, 511])}),
    },
    ("type", "target"),
)


def _target(mount: Any) -> str:
    """Where it stands: of two mounts in one place Compose never looks at the first, see `exceptions`."""
    written: str = mount["target"] if isinstance(mount, dict) else (mount.split(":") + mount.split(":"))[1]
    return posixpath.normpath(written)


_GRANTS = _few(
    st.sampled_from(["pass", "from_variable", "conf", "nope"])
    | _some({"source": st.sampled_from(["pass", "conf"]), "target": st.sampled_from(["t", "/t"])}, ("source",))
)
_HEALTH = _some(
    {
        "test": st.sampled_from(["t", ["CMD", "a"], ["NONE"], ["CMD-SHELL", "a b"], ["odd"], []]),
        "interval": _DURATIONS,
        "timeout": _DURATIONS,
        "start_period": _DURATIONS,
        "retries": _WHOLE,
        "disable": _FLAGS,
    }
)
_UPDATE = _some({"parallelism": _WHOLE, "delay": _DURATIONS, "order": st.sampled_from(["stop-first", "odd"])})
_DEPLOY = _some(
    {
        "replicas": st.sampled_from([0, 1, 3]),
        "labels": _pairs(_VALUES),
        "mode": st.sampled_from(["replicated", "global"]),
        "resources": _some({"limits": _some({"cpus": _NUMBERS, "memory": _SIZES, "pids": _WHOLE})}),
        "restart_policy": _some({"condition": st.just("any"), "delay": _DURATIONS, "max_attempts": _WHOLE}),
        "update_config": _UPDATE,
        "placement": _some({"constraints": _few(_WORDS)}),
    }
)
_BUILD = st.sampled_from([".", "./sub", "../up", "/abs", "https://example.com/x.git"]) | _some(
    {
        "context": st.sampled_from([".", "sub/../other", "${NOPE:-sub}"]),
        "dockerfile": st.sampled_from(["D", "../D"]),
        "args": _pairs(_VALUES),
        "target": _WORDS,
        "no_cache": _FLAGS,
        "shm_size": _SIZES,
        "labels": _pairs(_VALUES),
        "additional_contexts": st.sampled_from([{"x": "./y"}, ["x=./y"], {"x": "docker-image://z"}]),
        "platforms": _few(st.sampled_from(["linux/amd64", "linux/arm64"])),
    }
)
_NETWORKS = _few(st.sampled_from(["front", "back", "default", "nope"])) | st.dictionaries(
    st.sampled_from(["front", "back"]), st.none() | _some({"aliases": _few(_WORDS), "priority": st.just(5)}), max_size=2
)
_DEPENDS = st.sampled_from([["b"], ["nope"], ["b", "b"]]) | st.fixed_dictionaries(
    {"b": _some({"condition": st.sampled_from(["service_started", "service_healthy", "odd"]), "restart": _FLAGS})}
)
_ULIMITS = st.dictionaries(
    st.sampled_from(["nofile", "nproc"]), _WHOLE | st.fixed_dictionaries({"soft": _WHOLE, "hard": _WHOLE}), max_size=2
)
_HOSTS = st.dictionaries(st.sampled_from(["h", "i"]), _ADDRESSES | _few(_ADDRESSES), max_size=2) | _few(
    st.sampled_from(["h:1.1.1.1", "h=2.2.2.2", "i:::1", "j=[::1]"])
)

KEYS: Mapping[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("user", "working_dir", "hostname", "domainname", "stop_signal", "cpuset", "restart"), _WORDS),
    **dict.fromkeys(("init", "tty", "read_only", "stdin_open", "attach", "privileged"), _FLAGS),
    **dict.fromkeys(("pids_limit", "scale", "cpu_period", "cpu_count"), _WHOLE),
    **dict.fromkeys(("mem_limit", "shm_size", "mem_reservation", "memswap_limit"), _SIZES),
    **dict.fromkeys(("labels", "annotations", "environment", "sysctls"), _pairs(_VALUES)),
    **dict.fromkeys(("command", "entrypoint"), _COMMANDS),
    **dict.fromkeys(("cap_add", "cap_drop", "dns_opt", "group_add"), _few(_WORDS)),
    **dict.fromkeys(("dns", "dns_search", "tmpfs"), _WORDS | _few(_WORDS)),
    **dict.fromkeys(("secrets", "configs"), _GRANTS),
    "build": _BUILD,
    "cpus": _NUMBERS,
    "depends_on": _DEPENDS,
    "deploy": _DEPLOY,
    "env_file": st.sampled_from(["one.env", ["one.env", "two.env"], [{"path": "none.env", "required": False}]]),
    "expose": _few(st.sampled_from([80, "80", "81-82", 1.5])),
    "extra_hosts": _HOSTS,
    "healthcheck": _HEALTH,
    "image": _WORDS,
    "logging": _some({"driver": _WORDS, "options": st.dictionaries(st.just("o"), _VALUES, max_size=1)}),
    "network_mode": st.sampled_from(["none", "host", "bridge", "service:b", "service:nope"]),
    "networks": _NETWORKS,
    "platform": st.sampled_from(["linux/amd64", "linux/arm64"]),
    "ports": _few(_PORTS | _LONG_PORT),
    "pull_policy": st.sampled_from(["always", "if_not_present", "every_2h", "odd"]),
    "stop_grace_period": _DURATIONS,
    "ulimits": _ULIMITS,
    "volumes": st.lists(_MOUNTS | _LONG_MOUNT, max_size=3, unique_by=_target),
    "x-note": _WRONG,
}


def _sometimes_wrong(right: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 39).flatmap(lambda roll: _WRONG if roll == 0 else right)


SERVICES: st.SearchStrategy[dict[str, Any]] = st.lists(
    st.sampled_from(sorted(KEYS)), min_size=1, max_size=4, unique=True
).flatmap(
    lambda keys: st.fixed_dictionaries({"image": st.just("x"), **{key: _sometimes_wrong(KEYS[key]) for key in keys}})
)
"""A service with an image and a few other keys."""
