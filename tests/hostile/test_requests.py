"""Whatever becomes of the file: no request that could harm the host gets past the last look at it."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.compose.engine.allowlist import assert_harmless
from orchestrator.compose.engine.request import ServiceLimits, Surroundings
from orchestrator.preview.errors import OperatorError

AROUND = Surroundings(
    labels={"dev.previewd.instance": "i"},
    network="pv-net",
    aliases=("a",),
    binds={"sub": "/copies/sub"},
    limits=ServiceLimits(memory_bytes=512 << 20, cpus=1.5, pids=200),
    volume_name=lambda name: f"pv-1_{name}",
    links=("pv-1-b:db",),
    volumes_from=("c0ffee:ro",),
    files={"/run/secrets/s": "/copies/secrets/s"},
    volume_labels={"dev.previewd.instance": "i"},
)
BIND = {"Type": "bind", "Source": "/copies/sub", "Target": "/s", "BindOptions": {"Propagation": "rprivate"}}
BODY: dict[str, Any] = {
    "Image": "sha256:1",
    "Cmd": ["serve"],
    "Entrypoint": ["/x"],
    "Env": ["A=1"],
    "Labels": {"dev.previewd.instance": "i"},
    "WorkingDir": "/w",
    "User": "1000",
    "Hostname": "h",
    "Tty": True,
    "OpenStdin": True,
    "StopSignal": "SIGINT",
    "StopTimeout": 3,
    "ExposedPorts": {"80/tcp": {}},
    "Healthcheck": {"Test": ["CMD", "x"], "Interval": 2 * 10**9, "Timeout": 10**9, "StartPeriod": 1, "Retries": 3},
    "NetworkingConfig": {"EndpointsConfig": {"pv-net": {"Aliases": ["a"], "Links": ["pv-1-b:db"]}}},
    "HostConfig": {
        "NetworkMode": "pv-net",
        "CapDrop": ["AUDIT_WRITE", "MKNOD", "NET_RAW", "SETFCAP", "SYS_CHROOT", "CHOWN"],
        "SecurityOpt": ["no-new-privileges"],
        "Privileged": False,
        "Memory": 64 << 20,
        "MemorySwap": 64 << 20,
        "NanoCpus": 10**9,
        "PidsLimit": 100,
        "ShmSize": 64 << 20,
        "ReadonlyRootfs": True,
        "Init": True,
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}},
        "Tmpfs": {"/run": "size=1048576,mode=1777"},
        "ExtraHosts": ["x:1.1.1.1", "y:::1"],
        "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}],
        "VolumesFrom": ["c0ffee:ro"],
        "Mounts": [
            {"Type": "volume", "Source": "pv-1_data", "Target": "/data", "ReadOnly": False},
            {"Type": "volume", "Target": "/anonymous", "VolumeOptions": {"Labels": {"dev.previewd.instance": "i"}}},
            {**BIND, "ReadOnly": True},
            {**BIND, "Source": "/copies/secrets/s", "Target": "/run/secrets/s", "ReadOnly": True},
            {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1048576, "Mode": 0o777}},
        ],
    },
}
"""A request with everything in it that one may have."""

Way = tuple[str | int, ...]


def _objects(value: object, way: Way = ()) -> Iterator[Way]:
    """The way to every object in the request."""
    if isinstance(value, dict):
        yield way
        for key, child in value.items():
            yield from _objects(child, (*way, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _objects(child, (*way, index))


def _at(body: Any, way: Way) -> Any:
    for step in way:
        body = body[step]
    return body


OBJECTS = [way for way in _objects(BODY) if way != ("NetworkingConfig",)]
ENGINE_KEYS = (
    "Binds", "BlkioDeviceReadBps", "BlkioWeight", "CapAdd", "Cgroup", "CgroupParent", "CgroupnsMode", "ConsoleSize",
    "ContainerIDFile", "CpuPeriod", "CpuQuota", "CpuRealtimePeriod", "CpuRealtimeRuntime", "CpuShares", "CpusetCpus",
    "DeviceCgroupRules", "DeviceRequests", "Devices", "Dns", "Domainname", "GroupAdd", "IpcMode", "Isolation",
    "KernelMemory", "MacAddress", "MaskedPaths", "NetworkDisabled", "OnBuild", "OomKillDisable", "OomScoreAdj",
    "PidMode", "PortBindings", "PublishAllPorts", "ReadonlyPaths", "Runtime", "Shell", "StorageOpt", "Sysctls",
    "UTSMode", "UsernsMode", "VolumeDriver", "Volumes", "IPAMConfig", "GwPriority", "DriverOpts", "VolumeOptions",
    "ImageOptions", "ClusterOptions", "NonRecursive", "CreateMountpoint", "Annotations", "binds", "privileged",
)  # fmt: skip
"""What the Engine takes beside the keys of ours, or took once, and two of ours in small letters."""
NEEDED = ("NetworkMode", "CapDrop", "SecurityOpt", "Memory", "MemorySwap", "NanoCpus", "PidsLimit", "LogConfig")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


def test_the_request_itself_is_harmless() -> None:
    assert_harmless(BODY, AROUND)


@given(way=st.sampled_from(OBJECTS), key=st.sampled_from(ENGINE_KEYS) | st.text(max_size=12), value=json_values)
def test_no_object_takes_a_further_key(way: Way, key: str, value: object) -> None:
    body = copy.deepcopy(BODY)
    target = _at(body, way)
    if key in target or (key.startswith("/") and value == ""):  # a further tmpfs inside the container
        return
    target[key] = value
    with pytest.raises(OperatorError, match="refused to send"):
        assert_harmless(body, AROUND)


@pytest.mark.parametrize("key", NEEDED)
def test_no_wall_may_be_left_out(key: str) -> None:
    body = copy.deepcopy(BODY)
    del body["HostConfig"][key]
    with pytest.raises(OperatorError, match=f"without HostConfig.{key}"):
        assert_harmless(body, AROUND)


DANGEROUS: dict[Way, st.SearchStrategy[Any]] = {
    ("HostConfig",): st.none() | st.just({}) | st.just([]),
    ("HostConfig", "NetworkMode"): st.sampled_from(["host", "bridge", "default", "container:x", "", None, "pv-net2"]),
    ("HostConfig", "CapDrop"): st.lists(st.sampled_from(["MKNOD", "NET_RAW", "SETFCAP", "SYS_CHROOT"])) | st.none(),
    ("HostConfig", "SecurityOpt"): st.lists(st.sampled_from(["seccomp=unconfined", "no-new-privileges:false"])),
    ("HostConfig", "Privileged"): st.sampled_from([True, 1, "true", None, [False]]),
    ("HostConfig", "Memory"): st.integers(max_value=0) | st.integers(min_value=(512 << 20) + 1) | st.none(),
    ("HostConfig", "MemorySwap"): st.integers(max_value=0) | st.integers(min_value=(512 << 20) + 1) | st.booleans(),
    ("HostConfig", "NanoCpus"): st.integers(max_value=0) | st.integers(min_value=1_500_000_001) | st.floats(),
    ("HostConfig", "PidsLimit"): st.integers(max_value=0) | st.integers(min_value=201) | st.booleans(),
    ("HostConfig", "ShmSize"): st.integers(min_value=(1 << 30) + 1) | st.integers(max_value=-1),
    ("HostConfig", "RestartPolicy"): st.sampled_from([{"Name": "always"}, {"Name": "unless-stopped"}, {}, None]),
    ("HostConfig", "LogConfig"): st.sampled_from([{"Type": "syslog"}, {"Type": "json-file", "Config": {}}, {}, None]),
    ("HostConfig", "Tmpfs"): st.sampled_from([{"/x": "exec"}, {"/x": "suid"}, {"x": ""}, {"/": ""}]),
    ("HostConfig", "ExtraHosts"): st.sampled_from([["h:host-gateway"], ["h"], "h:1.1.1.1", ["h:"], [None]]),
    ("HostConfig", "Ulimits"): st.sampled_from([[{"Name": "nofile"}], [{"Name": "../x", "Soft": 1, "Hard": 1}], [[]]]),
    ("HostConfig", "VolumesFrom"): st.sampled_from([["other"], [], None, ["c0ffee"], ["c0ffee:ro", "other"]]),
    ("Labels",): st.sampled_from([{}, None, {"dev.previewd.instance": "i", "traefik.enable": "true"}]),
    ("Env",): st.sampled_from([["=A"], [""], "A=1", [None], ["A=\0"], {"A": "1"}]),
    ("Healthcheck", "Interval"): st.integers(min_value=1, max_value=10**9 - 1) | st.integers(max_value=-1),
    ("StopTimeout",): st.integers(min_value=11) | st.integers(max_value=-1),
    ("NetworkingConfig",): st.sampled_from(
        [{"EndpointsConfig": {"host": {}}}, {"EndpointsConfig": {"pv-net": {"Links": ["other:db"]}}}, []]
    ),
    ("ExposedPorts",): st.sampled_from([{"80": {}}, {"80/tcp": {"HostPort": "80"}}, ["80/tcp"]]),
    ("Image",): st.sampled_from(["", None, "x\0", ["x"]]),
}  # fmt: skip


@given(data=st.data(), way=st.sampled_from(sorted(DANGEROUS)))
def test_no_dangerous_value_passes(data: st.DataObject, way: Way) -> None:
    body = copy.deepcopy(BODY)
    _at(body, way[:-1])[way[-1]] = data.draw(DANGEROUS[way])
    with pytest.raises(OperatorError, match="refused to send"):
        assert_harmless(body, AROUND)


SOURCES = st.sampled_from(["/", "/etc", "/copies", "/copies/sub/..", "/copies/sub/x", "sub", "..", "", None, 1])
MOUNTS = st.one_of(
    st.builds(lambda source: {**BIND, "Source": source}, SOURCES),
    st.builds(lambda mode: {**BIND, "BindOptions": {"Propagation": mode}}, st.sampled_from(["rshared", "", None])),
    st.builds(lambda target: {**BIND, "Target": target}, st.sampled_from(["/", "x", "/x/../..", "", None, "/\0"])),
    st.builds(lambda name: {"Type": "volume", "Source": name, "Target": "/x"},
              st.sampled_from(["/etc", "pv-2_data", "pv-1_../x", "pv-1_", "pv-1", "data", None, 1])),
    st.builds(lambda kind: {"Type": kind, "Target": "/x"}, st.sampled_from(["bind", "npipe", "cluster", "image"])),
    st.builds(lambda options: {"Type": "volume", "Target": "/x", "VolumeOptions": options},
              st.sampled_from([{}, {"NoCopy": True}, {"DriverConfig": {"Name": "x"}}, {"Subpath": "../.."}, None,
                               {"Labels": {}}, {"Labels": {"dev.previewd.instance": "other"}}])),
    st.just({"Type": "volume", "Target": "/x"}),
    st.builds(lambda options: {"Type": "tmpfs", "Target": "/x", "TmpfsOptions": options},
              st.sampled_from([{"SizeBytes": 1 << 40}, {"Options": [["exec"]]}, {"Mode": 1 << 20}, None])),
    st.sampled_from(["/etc:/x", None, {}, []]),
)  # fmt: skip


@given(mount=MOUNTS)
def test_no_mount_reaches_anything_else(mount: object) -> None:
    body = copy.deepcopy(BODY)
    body["HostConfig"]["Mounts"].append(mount)
    with pytest.raises(OperatorError, match="refused to send"):
        assert_harmless(body, AROUND)
