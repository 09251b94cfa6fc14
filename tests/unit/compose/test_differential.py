"""Ours against the real Compose binary: the same reading of scalars, variables, env files and whole services."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.compose.model import Healthcheck, Mount, MountKind, Port, Service
from orchestrator.compose.services.stack import read
from orchestrator.preview.errors import ComposeError
from tests.unit.compose import oracle

pytestmark = pytest.mark.skipif(oracle.binary() is None, reason="no Compose binary in this environment")

VARIABLES = {"FOO": "first", "BAR": "", "A1": "v$x"}
BOUNDED = settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

TOKENS = ["$", "${", "}", "FOO", "BAR", "NOPE", "A1", ":-", "-", ":?", "?", ":+", "+", "x", "$$", "${FOO}"]
TOKENS += ["${NOPE:-", "$BAR", " ", "a b", "/", "{", ":", "É"]
TEMPLATES = st.lists(st.sampled_from(TOKENS), min_size=1, max_size=7).map("".join)

PLAIN_SCALARS = [
    "22:22",
    "yes",
    "on",
    "off",
    "0755",
    "0o755",
    "1e3",
    "1.50",
    "1_000",
    "0x1F",
    "0b11",
    "true",
    "True",
    "~",
    "1e30",
    "1.0",
    "+5",
    "-0",
    "08",
    "0.0000001",
    "1e21",
    "123456789.5",
    "0o9",
    ".5",
    "5.",
    "1e",
    "12:30:45.5",
    "=",
    "0x",
    "_1",
    "1__0",
    "1_",
    "-0755",
    "0_7",
    "1.5_0",
    "12345678901",
    "1e20",
    "1000000.0",
    "-0.0",
    "1234567.5",
    "999999.5",
    "0.0001",
    "0.00001",
    "-1.5e9",
    "'x'",
    '"y"',
    "''",
    '"1"',
    "'~'",
    "null",
    "Null",
    "No",
    "y",
    "N",
    "TRUE",
    "FALSE",
    "1.2.3",
    "v1",
    "1e+2",
    "+.5",
    "-.5e-3",
    "0b12",
    "0xG",
    "00",
    "+0",
    "0.1",
    "123456789012345678901234",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775808",
]

COMMANDS = [
    "",
    "a b",
    'a "b c" d',
    "a 'b c'",
    "a\\ b",
    "a \\n\\t\\x",
    'a "b\\"c"',
    "a 'b\\'",
    "a; b",
    "a && b",
    "a | b > c",
    "a ''",
    'a "" b',
    "a'b'c",
    "a # b",
    "a (b)",
    '"a',
    "a \\",
    "a $$HOME `x`",
    "  a   b  ",
    "a\tb\nc",
    'x "a;b" c',
    "2>x",
    "a 2>b",
    "echo $$(x)",
    "a `x y` z",
    "a $$(x y) z",
    "a ) b",
    "a $$(x",
    "`x",
    "a `b;c`",
    "a $$(b;c) d",
    'a "$$(b c)"',
    "a$$(b 'c')d",
]

PORTS: list[Any] = [
    8000,
    "8000",
    "8000:80",
    "127.0.0.1:8000:80",
    "127.0.0.1::80",
    "80/udp",
    "53:53/tcp",
    "3000-3002:4000-4002",
    "3000-3002",
    "1-2:3",
    "80:90-91",
    "a",
    "0",
    "70000",
    "[::1]:80:80",
    "::1:80:80",
    "",
    ":80",
    "80:",
    "80/xyz",
    "1:2:3:4",
    {"target": 80},
    {"target": "80", "published": 90, "host_ip": "1.1.1.1", "mode": "host", "name": "x", "app_protocol": "http"},
    {"published": 80},
]

ENV_FILES = [
    "A=1\n",
    "export A=1\n",
    "A = 1\n",
    "A: 1\n",
    "A='x $FOO y'\n",
    'A="x $FOO y"\n',
    "A=x # c\n",
    "A=x#c\n",
    "A='x' # c\n",
    'A="a\\nb"\n',
    "A='a\\nb'\n",
    "A=a\\nb\n",
    'A="a\nb"\nB=1\n',
    "A='a\nb'\n",
    "A=\n",
    "FOO\n",
    "NOPE\n",
    "A=${Z:-d}\n",
    "Z=1\nA=${Z}\n",
    'A="a\\"b"\n',
    'A=a"b"\n',
    'A="a\n',
    "# c\n\nA=1\n",
    "A=$$x\n",
    'A="x\\$y"\n',
    "1A=2\n",
    "A.B=1\n",
    "A-B=1\n",
    "A B=1\n",
    "A=1\r\nB=2\r\n",
    "\ufeffA=1\n",
    "A=a b c  \n",
    'A="\\t\\x"\n',
    'A={"a":"b"}\n',
    "A=a=b\n",
    "A='x\\'y'\n",
    "A=\t1\n",
    "A=x\t# c\n",
    "A=#c\n",
    "A= # c\n",
    "A=$FOO$\n",
    'A="a\\\\nb"\n',
    "A=x\nA=y\n",
    "FOO=mine\nA=$FOO\n",
    "A=${NOPE:?no}\n",
    "$FOO=1\n",
    "{B=1\n",
    "A[0]=1\n",
    "FOO # c\n",
    "x#=1\n",
    "export #\n",
    "É=1\n",
    "A='a'B=1\n",
]

SERVICES = """
command: [a, b]
command: []
command: null
entrypoint: []
entrypoint: /bin/sh -c x
command: [1]
command: 5
expose: [80, '81', 82-83]
expose: 80
healthcheck: {disable: true}
healthcheck: {test: NONE}
healthcheck: {test: [NONE]}
healthcheck: {test: [a, b]}
healthcheck: {test: [CMD, a], interval: 1m30s, timeout: 10s, retries: 3, start_period: 1h}
healthcheck: {test: curl x, retries: '3', start_interval: 1.5s}
healthcheck: {interval: 10}
healthcheck: {interval: '10'}
healthcheck: {interval: 1d}
stop_grace_period: 5s
stop_grace_period: 10
init: 'true'
init: yes
init: maybe
tty: 1
tty: 'Y'
read_only: true
mem_limit: 1gb
mem_limit: 1.5g
mem_limit: 33554432
mem_limit: '9000 KiB'
mem_limit: 1x
mem_limit: .5g
mem_limit: 9000000ib
mem_limit: '9000000 '
mem_limit: 9000.5KB
mem_limit: 9000000b
healthcheck: {interval: 1h30m}
healthcheck: {interval: 2w}
healthcheck: {interval: 1y}
healthcheck: {interval: .5m}
healthcheck: {interval: 90.25s}
cpus: '0.5'
cpus: 1
cpus: abc
shm_size: 64m
hostname: a_b
user: 1000
user: 1000:1000
working_dir: /x
working_dir: 5
environment: [A=1, A=2, B=a=b]
environment: ['A =1']
environment: {A: [1]}
environment: {1: x}
environment: ''
environment: {FOO: , NOPE: , BAR: ''}
environment: [FOO, NOPE]
depends_on: [b]
depends_on: [nope]
depends_on: [b, b]
depends_on: {b: {condition: service_healthy, restart: true}}
depends_on: {b: {condition: service_completed_successfully, required: false}}
depends_on: {b: {}}
depends_on: {b: {condition: started}}
depends_on: {nope: {condition: service_started, required: false}}
networks: [other]
networks: [nope]
networks: {default: {aliases: [x, y]}}
networks: {other: , default: }
restart: no
restart: 'on-failure:3'
stop_signal: SIGINT
stop_signal: 9
platform: linux/amd64
volumes: ['./here:/b']
volumes: ['./here:/b:ro']
volumes: ['data:/b']
volumes: ['/anon']
volumes: ['nope:/b']
volumes: ['./here:/b', 'data:/b']
volumes: [{type: bind, source: ./here, target: /b, read_only: true}]
volumes: [{type: volume, source: data, target: /b}]
volumes: [{type: tmpfs, target: /b, tmpfs: {size: 1m}}]
volumes: [{type: bind, target: /b}]
volumes: [{source: ./here, target: /b}]
volumes: null
ports: null
imagee: y
x-anything: {a: 1}
build: ./here
build: {context: ./here, dockerfile: D, target: t, args: [A=1, NOPE, FOO]}
build: {context: ., args: {A: 1, B: true, C: }}
build: {contxt: .}
profiles: [p]
labels: {a: 1}
deploy: {resources: {limits: {cpus: '0.5', memory: 1g}}}
extra_hosts: ['a:1.1.1.1', 'b=2.2.2.2']
extra_hosts: {a: 1.1.1.1, b: [1.1.1.1, 2.2.2.2]}
tmpfs: /run
tmpfs: [/run, /tmp]
image: ''
cap_drop: [ALL]
""".strip().splitlines()


def ours(files: Mapping[str, str]) -> Mapping[str, Service] | None:
    try:
        return read({path: text.encode() for path, text in files.items()}, "compose.yaml", VARIABLES).services
    except ComposeError:
        return None


def environment_of(line: str) -> dict[str, str]:
    return {"compose.yaml": f"services:\n  a:\n    image: x\n    environment:\n      K: {line}\n"}


def dumped(**services: Mapping[str, Any]) -> dict[str, str]:
    return {"compose.yaml": yaml.safe_dump({"services": services})}


@BOUNDED
@given(st.lists(TEMPLATES, min_size=30, max_size=40))
def test_templates_are_read_as_compose_reads_them(templates: list[str]) -> None:
    accepted: dict[str, str] = {}
    for index, template in enumerate(templates):
        services = ours(dumped(a={"image": "x", "environment": {"K": template}}))
        if services is not None:
            accepted[f"K{index}"] = template
    services = ours(dumped(a={"image": "x", "environment": accepted}))
    theirs = oracle.config(dumped(a={"image": "x", "environment": accepted}), VARIABLES)
    assert services is not None
    assert theirs is not None
    assert services["a"].environment == (theirs["services"]["a"].get("environment") or {})


@BOUNDED
@given(TEMPLATES)
def test_broken_templates_are_refused_by_both(template: str) -> None:
    files = dumped(a={"image": "x", "environment": {"K": template}})
    if ours(files) is None:
        assert oracle.config(files, VARIABLES) is None


def test_plain_scalars_mean_what_they_mean_to_compose() -> None:
    lines = "".join(f"      K{index}: {scalar}\n" for index, scalar in enumerate(PLAIN_SCALARS))
    files = {"compose.yaml": f"services:\n  a:\n    image: x\n    environment:\n{lines}"}
    services, theirs = ours(files), oracle.config(files, VARIABLES)
    assert services is not None
    assert theirs is not None
    expected = {name: value for name, value in theirs["services"]["a"]["environment"].items() if value is not None}
    assert services["a"].environment == expected


@pytest.mark.parametrize("key", ["command", "entrypoint"])
def test_commands_are_split_as_compose_splits_them(key: str) -> None:
    compare([{"image": "x", key: command} for command in COMMANDS])


def test_ports_are_read_as_compose_reads_them() -> None:
    compare([{"image": "x", "ports": [port]} for port in PORTS])


def test_env_files_are_read_as_compose_reads_them() -> None:
    files = {f"{index}.env": content for index, content in enumerate(ENV_FILES)}
    compare([{"image": "x", "env_file": path} for path in files], files)


def test_services_are_read_as_compose_reads_them() -> None:
    compare([line if line.startswith(("build", "image:")) else f"image: x\n    {line}" for line in SERVICES])


def compare(entries: Sequence[str | dict[str, Any]], files: Mapping[str, str] | None = None) -> None:
    """One call for every forty entries that we accept; one for each that we refuse, which Compose must refuse too."""
    repository = {"here/file": "", "here/D": "", **(files or {})}
    accepted: dict[str, str | dict[str, Any]] = {}
    for index, entry in enumerate(entries):
        if ours(stack({"a": entry}) | repository) is not None:
            accepted[f"s{index}"] = entry
        else:
            assert oracle.config(stack({"a": entry}) | repository, VARIABLES) is None, f"only we refuse {entry}"
    for names in batched(list(accepted), 40):
        agree({name: accepted[name] for name in names}, repository)


def agree(entries: Mapping[str, str | dict[str, Any]], repository: Mapping[str, str]) -> None:
    files = {**stack(entries), **repository}
    services, theirs = ours(files), oracle.config(files, VARIABLES)
    assert services is not None
    if theirs is None:
        alone = [entry for entry in entries.values() if oracle.config(stack({"a": entry}), VARIABLES) is None]
        pytest.fail(f"only Compose refuses {alone}")
    assert services.keys() == theirs["services"].keys()
    for name, service in services.items():
        assert shaped(service) == trimmed(theirs["services"][name]), entries.get(name)


def batched(names: list[str], size: int) -> list[list[str]]:
    return [names[start : start + size] for start in range(0, len(names), size)]


def stack(entries: Mapping[str, str | dict[str, Any]]) -> dict[str, str]:
    """A file with the entries, given as YAML or as values, and what they may refer to."""
    written = "".join(
        f"  {name}:\n    {entry}\n" if isinstance(entry, str) else f"  {name}: {json.dumps(entry)}\n"
        for name, entry in entries.items()
    )
    text = f"services:\n{written}  b: {{image: y}}\nvolumes: {{data: }}\nnetworks: {{other: }}\n"
    return {"compose.yaml": text}


def shaped(service: Service) -> dict[str, Any]:
    """Our model in the shape of `config --format json`, without what is empty."""
    found: dict[str, Any] = {
        "image": service.image,
        "command": None if service.command is None else list(service.command),
        "entrypoint": None if service.entrypoint is None else list(service.entrypoint),
        "environment": {**dict.fromkeys(service.unset), **service.environment},
        "ports": [_port(port) for port in service.ports],
        "expose": [str(port) for port in service.expose],
        "healthcheck": None if service.healthcheck is None else _check(service.healthcheck),
        "networks": {name: {"aliases": list(given)} if given else None for name, given in service.networks.items()},
        "volumes": [_mount(mount) for mount in service.volumes],
        "depends_on": {
            name: {
                "condition": edge.condition.value,
                "required": edge.required,
                **({"restart": True} if edge.restart else {}),
            }
            for name, edge in service.depends_on.items()
        },
        "stop_grace_period": service.stop_grace_period,
        "shm_size": service.shm_size,
        **{
            key: getattr(service, key) for key in ("hostname", "user", "working_dir", "platform", "stop_signal", "init")
        },
        **{key: getattr(service, key) or None for key in ("tty", "read_only", "stdin_open")},
        "memory": service.limit.memory,
        "cpus": service.limit.cpus,
        "extra_hosts": [f"{name}={address}" for name, given in service.extra_hosts.items() for address in given],
        "cap_drop": list(service.cap_drop),
        "tmpfs": list(service.tmpfs),
    }
    if service.build is not None:
        found["build"] = {"context": service.build.context, "dockerfile": service.build.dockerfile}
        found["build"] |= {
            key: getattr(service.build, key) for key in ("args", "target") if getattr(service.build, key)
        }
    return {key: value for key, value in found.items() if not _is_empty(key, value)}


def _is_empty(key: str, value: object) -> bool:
    """An empty command is not: it takes the image's own away."""
    return value in (None, {}) or (value == [] and key not in ("command", "entrypoint"))


def trimmed(service: dict[str, Any]) -> dict[str, Any]:
    """The binary's reading without what previewd decides itself, in seconds, bytes and paths of the repository."""
    found = {key: value for key, value in service.items() if key not in ("labels", "deploy", "restart")}
    found["memory"] = int(service["mem_limit"]) if "mem_limit" in service else None
    found.pop("mem_limit", None)
    limits = service.get("deploy", {}).get("resources", {}).get("limits", {})
    if limits:
        found |= {"memory": int(limits["memory"]), "cpus": limits["cpus"]}
    if "shm_size" in found:
        found["shm_size"] = int(found["shm_size"])
    if "stop_grace_period" in found:
        found["stop_grace_period"] = _seconds(found["stop_grace_period"])
    if "healthcheck" in found:
        found["healthcheck"] = _their_check(found["healthcheck"])
    if "volumes" in found:
        found["volumes"] = [_their_mount(mount) for mount in found["volumes"]]
    if "ports" in found:
        kept = ("target", "published", "protocol")
        found["ports"] = [{key: port[key] for key in kept if key in port} for port in found["ports"]]
    if "expose" in found:
        found["expose"] = [str(port) for written in found["expose"] for port in _ports(written)]
    if "build" in found:
        found["build"] = {**found["build"], "context": found["build"]["context"].removeprefix("./")}
    return {key: value for key, value in found.items() if not _is_empty(key, value)}


def _port(port: Port) -> dict[str, Any]:
    published = {"published": port.published} if port.published else {}
    return {"target": port.target, "protocol": port.protocol, **published}


def _ports(written: str) -> range:
    low, _, high = written.partition("-")
    return range(int(low), int(high or low) + 1)


def _seconds(written: str) -> float:
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}
    parts = re.findall(r"([\d.]+)(h|ms|m|s|µs|ns)", written)
    return round(sum(float(amount) * units[unit] for amount, unit in parts), 9)


def _check(check: Healthcheck) -> dict[str, Any]:
    found = {key: getattr(check, key) for key in ("interval", "timeout", "retries", "start_period")}
    return {"test": list(check.test), **{key: value for key, value in found.items() if value is not None}}


def _their_check(check: dict[str, Any]) -> dict[str, Any]:
    if check.get("disable"):
        return {"test": ["NONE"]}
    taken = {key: value for key, value in check.items() if key != "start_interval"}
    found = {key: _seconds(value) if isinstance(value, str) else value for key, value in taken.items()}
    return {"test": [], **found}


def _mount(mount: Mount) -> dict[str, Any]:
    kind = "volume" if mount.kind is MountKind.ANONYMOUS else mount.kind.value
    source = f"./{mount.source}" if mount.kind is MountKind.BIND else mount.source
    found = {"type": kind, "source": source, "target": mount.target, "read_only": mount.read_only, "size": mount.size}
    return {key: value for key, value in found.items() if value}


def _their_mount(mount: dict[str, Any]) -> dict[str, Any]:
    size = mount.get("tmpfs", {}).get("size")
    kept = {key: value for key, value in mount.items() if key in ("type", "source", "target", "read_only")}
    return kept | ({"size": int(size)} if size else {})
