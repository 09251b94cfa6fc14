"""The Engine's request, and the policy once more on the finished request."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.compose.engine.allowlist import assert_harmless
from orchestrator.compose.engine.request import (
    DROPPED_CAPABILITIES,
    ServiceLimits,
    Surroundings,
    aliases_of,
    config_hash,
    container_body,
    mount_targets,
    open_volumes,
)
from orchestrator.compose.model import FileMount
from orchestrator.preview.errors import OperatorError
from tests.unit.compose.support import service_of

AROUND = Surroundings(
    labels={"dev.previewd.instance": "i"},
    network="pv-net",
    aliases=("a",),
    binds={"sub.f": "/copy/sub"},
    limits=ServiceLimits(memory_bytes=512 << 20, cpus=1.5, pids=200),
    volume_name=lambda name: f"pv-{name}",
)

FULL = """build: .
command: [serve, --x]
entrypoint: []
environment: {B: '2', A: $$1}
ports: ['8080:8000']
expose: [9000]
healthcheck: {test: [CMD, x], interval: 2s, timeout: 1500ms, retries: 3, start_period: 1m}
volumes: ['data:/data', './sub.f:/sub:ro', '/anon', {type: tmpfs, target: /t, tmpfs: {size: 1m}}]
tmpfs: ['/run:size=1m']
container_name: other_name
working_dir: /w
user: '1000'
hostname: h
init: true
read_only: true
stop_signal: SIGINT
stop_grace_period: 3s
restart: always
shm_size: 64m
cap_drop: [NET_ADMIN]
extra_hosts: {x: 1.1.1.1}
mem_limit: 64m
cpus: 8
tty: true
stdin_open: true
platform: linux/amd64
labels: {traefik.enable: 'true'}
"""


def body_of(text: str) -> dict[str, Any]:
    return container_body(service_of(text, sub__f=""), "img:1", AROUND)


def test_the_whole_request() -> None:
    assert body_of(FULL) == {
        "Image": "img:1",
        "Cmd": ["serve", "--x"],
        "Entrypoint": [],
        "Env": ["A=$1", "B=2"],
        "Labels": {"dev.previewd.instance": "i"},
        "WorkingDir": "/w",
        "User": "1000",
        "Hostname": "h",
        "Tty": True,
        "OpenStdin": True,
        "StopSignal": "SIGINT",
        "StopTimeout": 3,
        "Healthcheck": {
            "Test": ["CMD", "x"],
            "Interval": 2_000_000_000,
            "Timeout": 1_500_000_000,
            "StartPeriod": 60_000_000_000,
            "Retries": 3,
        },
        "ExposedPorts": {"8000/tcp": {}, "9000/tcp": {}},
        "NetworkingConfig": {"EndpointsConfig": {"pv-net": {"Aliases": ["a"]}}},
        "HostConfig": {
            "NetworkMode": "pv-net",
            "CapDrop": [*DROPPED_CAPABILITIES, "NET_ADMIN"],
            "SecurityOpt": ["no-new-privileges"],
            "Privileged": False,
            "Memory": 64 << 20,
            "MemorySwap": 64 << 20,
            "NanoCpus": 1_500_000_000,
            "PidsLimit": 200,
            "ShmSize": 64 << 20,
            "ReadonlyRootfs": True,
            "Init": True,
            "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}},
            "Tmpfs": {"/run": "size=1048576"},
            "ExtraHosts": ["x:1.1.1.1"],
            "Mounts": [
                {"Type": "volume", "Source": "pv-data", "Target": "/data", "ReadOnly": False},
                {
                    "Type": "bind",
                    "Source": "/copy/sub",
                    "Target": "/sub",
                    "ReadOnly": True,
                    "BindOptions": {"Propagation": "rprivate"},
                },
                {"Type": "volume", "Target": "/anon", "ReadOnly": False},
                {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1048576}},
            ],
        },
    }


def test_what_the_file_leaves_to_the_image_is_left_out() -> None:
    body = body_of("image: x")
    assert not body.keys() & {"Cmd", "Entrypoint", "Healthcheck", "User", "WorkingDir", "StopSignal"}
    assert body["HostConfig"]["RestartPolicy"] == {"Name": "no"}
    assert body["HostConfig"]["Memory"] == 512 << 20


def test_a_volume_without_a_name_carries_our_labels() -> None:
    around = replace(AROUND, image_volumes=("/image",), volume_labels={"dev.previewd.pull": "7"})
    body = container_body(service_of("volumes: [{type: volume, target: /anon, read_only: true}]"), "img:1", around)
    marked = {"Type": "volume", "VolumeOptions": {"Labels": {"dev.previewd.pull": "7"}}}
    assert body["HostConfig"]["Mounts"] == [
        {**marked, "Target": "/anon", "ReadOnly": True},
        {**marked, "Target": "/image", "ReadOnly": False},
    ]
    assert_harmless(body, around)


def test_nothing_is_mounted_over_what_the_engine_would_not_cover() -> None:
    config = FileMount(name="c", target="/etc/c", content="x")
    service = replace(service_of("volumes: ['data:/data', /anon]\ntmpfs: [/run]"), configs=(config,))
    image = ("/anon", "/data", "/data/deeper", "/etc/c", "/from-another", "/run", "/var/lib", "not/absolute", "/proc/x")
    assert open_volumes(service, image, {"/from-another"}) == ("/data/deeper", "/var/lib")
    assert mount_targets(service) == {"/data", "/anon", "/etc/c"}


def test_no_network_means_none() -> None:
    body = body_of("network_mode: none")
    assert body["HostConfig"]["NetworkMode"] == "none"
    assert "NetworkingConfig" not in body


def test_aliases_are_those_of_compose() -> None:
    service = service_of("container_name: nn\nnetworks: {default: {aliases: [x]}, other: {aliases: [x, y]}}")
    assert aliases_of(service) == ("a", "nn", "x", "y")


@pytest.mark.parametrize("text", [FULL, "image: x", "network_mode: none", "healthcheck: {disable: true}"])
def test_our_own_requests_are_harmless(text: str) -> None:
    assert_harmless(body_of(text), AROUND)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("HostConfig.Privileged", True),
        ("HostConfig.PidMode", "host"),
        ("HostConfig.IpcMode", "host"),
        ("HostConfig.UTSMode", "host"),
        ("HostConfig.UsernsMode", "host"),
        ("HostConfig.CgroupnsMode", "host"),
        ("HostConfig.CgroupParent", "/"),
        ("HostConfig.NetworkMode", "host"),
        ("HostConfig.NetworkMode", "container:x"),
        ("HostConfig.NetworkMode", "another"),
        ("HostConfig.Devices", [{"PathOnHost": "/dev/sda"}]),
        ("HostConfig.DeviceRequests", []),
        ("HostConfig.CapAdd", ["SYS_ADMIN"]),
        ("HostConfig.CapDrop", []),
        ("HostConfig.SecurityOpt", ["seccomp=unconfined"]),
        ("HostConfig.SecurityOpt", []),
        ("HostConfig.Binds", ["/:/host"]),
        ("HostConfig.VolumesFrom", ["x"]),
        ("HostConfig.PortBindings", {"80/tcp": [{"HostPort": "80"}]}),
        ("HostConfig.PublishAllPorts", True),
        ("HostConfig.Runtime", "runc"),
        ("HostConfig.Sysctls", {"kernel.x": "1"}),
        ("HostConfig.OomScoreAdj", -1000),
        ("HostConfig.Memory", 0),
        ("HostConfig.Memory", 1 << 40),
        ("HostConfig.MemorySwap", -1),
        ("HostConfig.NanoCpus", 0),
        ("HostConfig.PidsLimit", -1),
        ("HostConfig.PidsLimit", True),
        ("HostConfig.RestartPolicy", {"Name": "always"}),
        ("HostConfig.LogConfig", {"Type": "syslog"}),
        ("HostConfig.LogConfig", "syslog"),
        ("HostConfig.ExtraHosts", ["h:host-gateway"]),
        ("HostConfig.MaskedPaths", []),
        ("HostConfig.Mounts", [{"Type": "bind", "Source": "/etc", "Target": "/x"}]),
        ("HostConfig.Mounts", [{"Type": "bind", "Source": "/copy/sub", "Target": "/x", "BindOptions": {}}]),
        (
            "HostConfig.Mounts",
            [{"Type": "bind", "Source": "/copy/sub/..", "Target": "/x", "BindOptions": {"Propagation": "rprivate"}}],
        ),
        ("HostConfig.Mounts", [{"Type": "volume", "Source": "/etc", "Target": "/x"}]),
        ("HostConfig.Mounts", [{"Type": "volume", "Source": "v", "Target": "/x", "VolumeOptions": {}}]),
        ("HostConfig.Mounts", [{"Type": "npipe", "Source": "x", "Target": "/x"}]),
        ("HostConfig.Mounts", ["/etc:/x"]),
        ("HostConfig.Mounts", "x"),
        ("NetworkingConfig.EndpointsConfig", {"another": {"Aliases": []}}),
        ("Labels", {"com.docker.compose.project": "spoofed"}),
        ("MacAddress", "00:00:00:00:00:00"),
        ("ExposedPorts", {"80/tcp": {"HostPort": "80"}}),
        ("Volumes", {"/x": {}}),
        ("Env", "A=b"),
        ("Image", "x\0"),
    ],
)
def test_anything_else_is_refused(where: str, value: object) -> None:
    body = copy.deepcopy(body_of(FULL))
    target = body
    *folders, last = where.split(".")
    for folder in folders:
        target = target[folder]
    target[last] = value
    with pytest.raises(OperatorError, match="refused to send"):
        assert_harmless(body, AROUND)


def test_the_digest_ignores_labels_and_nothing_else() -> None:
    body = body_of(FULL)
    assert config_hash(body) == config_hash({**body, "Labels": {"other": "x"}})
    assert config_hash(body) == config_hash(dict(reversed(body.items())))
    assert config_hash(body) != config_hash({**body, "Image": "img:2"})
    assert len(config_hash(body)) == 16
