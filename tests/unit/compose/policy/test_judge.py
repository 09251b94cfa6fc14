"""One word for every key, and every dangerous form refused by name, at its place, with a remedy."""

import json
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from orchestrator.compose.policy.judge import NOT_YET, verdicts
from orchestrator.compose.policy.keys import TABLES, Rule, Word
from orchestrator.compose.services.service import HANDLED
from orchestrator.compose.syntax.load import load
from orchestrator.preview.errors import ComposeError
from tests.unit.compose.support import service_of, stack_of


def test_every_key_that_is_taken_has_a_reader_or_is_refused_by_name() -> None:
    taken = {key for key, rule in TABLES["service"].items() if rule.word in (Word.OK, Word.CAP, Word.OWN)}
    assert taken == HANDLED | NOT_YET["service"]
    assert not HANDLED & NOT_YET["service"]


def _schema() -> dict[str, Any]:
    """The Compose Specification's own schema. It comes with `check-jsonschema`, whose code is not loaded."""
    found = find_spec("check_jsonschema")
    assert found is not None, "check-jsonschema is not installed: the locks are older than pyproject.toml"
    assert found.origin is not None
    schema = Path(found.origin).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    loaded: dict[str, Any] = json.loads(schema.read_text("utf-8"))
    return loaded


def _variants(schema: dict[str, Any], root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A schema, and every one that it refers to for the same value."""
    yield schema
    if "$ref" in schema:
        yield from _variants(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    for combination in ("oneOf", "anyOf", "allOf"):
        for each in schema.get(combination, ()):
            yield from _variants(each, root)


def _properties(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {key: each for variant in _variants(schema, root) for key, each in variant.get("properties", {}).items()}


def _mappings_below(schema: dict[str, Any], root: dict[str, Any], *, named: bool) -> Iterator[dict[str, Any]]:
    """The schemas of the mappings that stand at a value, in a list there, or (`named`) under each name there."""
    for variant in _variants(schema, root):
        if named:
            yield from variant.get("patternProperties", {}).values()
        if "properties" in variant:
            yield variant
        if "items" in variant:
            yield from _variants(variant["items"], root)


def _compare(schema: dict[str, Any], root: dict[str, Any], table: str, met: dict[str, set[str]]) -> None:
    """Hold one table, and those that its rules name, against the schema. Collects the keys that the schema has."""
    properties = _properties(schema, root)
    met.setdefault(table, set()).update(properties)
    for key, below in properties.items():
        rule = TABLES[table].get(key)
        assert rule is not None, f"the policy has no word for `{key}` in {table}"
        inner = [each for each in _mappings_below(below, root, named=rule.named) if _properties(each, root)]
        if rule.below:
            assert inner, f"{table}.{key} has no mapping below it"
            for each in inner:
                _compare(each, root, rule.below, met)
        elif rule.word in (Word.OK, Word.CAP):
            assert not inner, f"what stands below {table}.{key} has no words of its own"


def test_every_key_of_the_official_schema_has_a_word_and_every_word_a_key() -> None:
    schema = _schema()
    met: dict[str, set[str]] = {}
    _compare(schema, schema, "top", met)
    met["ulimit"].add("single")  # the long form of a bare number, which is ours alone
    assert {name: set(table) for name, table in TABLES.items()} == met


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_verdict_that_an_author_reads_gives_a_reason(table: dict[str, Rule]) -> None:
    for key, rule in table.items():
        assert rule.why or rule.word in (Word.OK, Word.CAP), key
        assert rule.remedy or rule.word is not Word.DENY, key


DENIED: Mapping[str, str] = {
    "cap_add": "[SYS_ADMIN]",
    "cgroup": "host",
    "cgroup_parent": "/",
    "cpu_rt_period": "1000",
    "cpu_rt_runtime": "1000",
    "credential_spec": "{file: x}",
    "device_cgroup_rules": "['a *:* rwm']",
    "devices": "[/dev/kmsg]",
    "external_links": "[other]",
    "gpus": "all",
    "group_add": "[docker]",
    "ipc": "host",
    "isolation": "process",
    "models": "[m]",
    "oom_kill_disable": "true",
    "oom_score_adj": "-1000",
    "pid": "host",
    "privileged": "true",
    "provider": "{type: x}",
    "runtime": "runc",
    "sysctls": "{kernel.x: 1}",
    "umask": "'022'",
    "use_api_socket": "true",
    "userns_mode": "host",
    "uts": "host",
}
STRIPPED: Mapping[str, str] = {
    "annotations": "[a=b]",
    "attach": "true",
    "blkio_config": "{weight: 10}",
    "cpu_count": "1",
    "cpu_percent": "50",
    "cpu_period": "1000",
    "cpu_quota": "1000",
    "cpu_shares": "10",
    "cpuset": "'0'",
    "develop": "{watch: [{path: ., action: rebuild}]}",
    "dns": "1.1.1.1",
    "dns_opt": "[x]",
    "dns_search": "x",
    "domainname": "x",
    "label_file": "x",
    "labels": "[a=b]",
    "mac_address": "02:42:ac:11:65:43",
    "mem_reservation": "1m",
    "mem_swappiness": "1",
    "memswap_limit": "1m",
    "storage_opt": "{size: 1m}",
}


def test_every_word_is_tried_below() -> None:
    found = {word: {key for key, rule in TABLES["service"].items() if rule.word is word} for word in Word}
    assert found[Word.DENY] == DENIED.keys()
    assert found[Word.STRIP] == STRIPPED.keys()


@pytest.mark.parametrize("key", DENIED)
def test_a_denied_key_is_refused(key: str) -> None:
    with pytest.raises(ComposeError, match=f"`{key}` is not allowed in a preview") as caught:
        service_of(f"{key}: {DENIED[key]}")
    assert caught.value.place.path == f"services.a.{key}"
    assert caught.value.place.line == 4
    assert caught.value.remedy


@pytest.mark.parametrize("key", sorted(NOT_YET["service"]))
def test_a_key_that_is_not_read_yet_is_refused(key: str) -> None:
    with pytest.raises(ComposeError, match=f"`{key}`"):
        service_of(f"{key}: []")


def test_what_to_write_in_place_of_a_container_before_the_start() -> None:
    with pytest.raises(ComposeError) as caught:
        service_of("pre_start: [{command: [migrate]}]")
    assert caught.value.place.line == 4
    assert "condition: service_completed_successfully" in caught.value.remedy


@pytest.mark.parametrize("key", STRIPPED)
def test_a_stripped_key_is_said(key: str) -> None:
    stack = stack_of(f"services:\n  a:\n    image: x\n    {key}: {STRIPPED[key]}\n")
    assert [note for note in stack.notes if f"`{key}` is not used" in note and note.startswith("compose.yaml:4:")]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("stop_grace_period: 1h", "`stop_grace_period` is taken as 10s, not 1h: "),
        ("shm_size: 8g", "`shm_size` is taken as 1g, not 8g: "),
        ("tmpfs: ['/x:size=8g']", "`tmpfs` is taken as size=1g, not 8g: "),
        ("tmpfs: /x:mode=1777,size=8g", "`tmpfs` is taken as size=1g"),
        ("volumes: [{type: tmpfs, target: /x, tmpfs: {size: 8g}}]", "`size` is taken as 1g, not 8g: "),
        ("healthcheck: {test: x, interval: 10ms}", "`interval` is taken as 1s, not 10ms: "),
        ("healthcheck: {test: x, start_interval: 10ms}", "`start_interval` is not used"),
        ("scale: 100", "`scale` is taken as 10, not 100: "),
        ("pre_stop: [{command: x}]", "when a push replaces the container: a teardown ends everything at once"),
        ("ulimits: {nofile: 2000000}", "`ulimits` is taken as nofile 1048576, not 2000000: "),
        ("ulimits: {core: {soft: 0, hard: 5}}", "`ulimits` is taken as core 0, not 5: "),
        ("ulimits: {nproc: -1}", "`ulimits` is taken as nproc 4096, not without a limit: "),
        ("deploy: {replicas: 100}", "`replicas` is taken as 10"),
        ("deploy: {resources: {reservations: {memory: 1g}}}", "`memory` is not used"),
        ("deploy: {resources: {reservations: {cpus: '1'}}}", "`cpus` is not used"),
        ("deploy: {placement: {constraints: [x]}}", "`placement` is not used"),
        ("build: {context: ., shm_size: 8g}", "`shm_size` is taken as 1g"),
        ("networks: {default: {ipv4_address: 10.0.0.1}}", "`ipv4_address` is not used"),
        ("logging: {driver: syslog}", "`logging` is not used"),
    ],
)
def test_what_is_capped_or_left_out_is_said(line: str, said: str) -> None:
    image = "" if line.startswith("build") else "    image: x\n"
    stack = stack_of(f"services:\n  a:\n{image}    {line}\n")
    assert [note for note in stack.notes if said in note and ": " in note], stack.notes


@pytest.mark.parametrize(
    "line",
    [
        "stop_grace_period: 10s",
        "shm_size: 1g",
        "tmpfs: ['/x:size=1g']",
        "healthcheck: {test: x, interval: 1s}",
        "scale: 10",
        "ulimits: {nofile: {soft: 1024, hard: 65536}}",
        "ports: ['80:80']",
        "restart: always",
        "volumes: ['data:/x']",
    ],
)
def test_what_is_within_the_limits_is_not_worth_a_word(line: str) -> None:
    assert stack_of(f"services:\n  a:\n    image: x\n    {line}\nvolumes: {{data: }}\n").notes == ()


def test_every_verdict_is_found_not_only_the_first() -> None:
    text = (
        b"services:\n  a: {image: x, privileged: true, pid: host, labels: [a=b]}\n  b: {image: x, uts: host}\nfoo: 1\n"
    )
    found = [(verdict.key, verdict.refused, verdict.place.line) for verdict in verdicts(load(text, "compose.yaml"))]
    assert found == [
        ("privileged", True, 2),
        ("pid", True, 2),
        ("labels", False, 2),
        ("uts", True, 3),
        ("foo", True, 4),
    ]


@pytest.mark.parametrize(
    "body",
    [
        "privileged: false",
        "privileged: 'false'",
        "devices: []",
        "sysctls: {}",
        "cap_add: []",
        "cgroup: private",
        "ipc: private",
        "oom_score_adj: 0",
    ],
)
def test_asking_for_nothing_is_fine(body: str) -> None:
    assert service_of(body).name == "a"


@pytest.mark.parametrize(
    ("key", "nearest"),
    [("imagee", "image"), ("enviroment", "environment"), ("healtcheck", "healthcheck"), ("dependson", "depends_on")],
)
def test_an_unknown_key_is_refused_with_the_nearest(key: str, nearest: str) -> None:
    with pytest.raises(ComposeError, match=f"unknown key `{key}`") as caught:
        service_of(f"{key}: x")
    assert caught.value.remedy == f"Did you mean `{nearest}`?"


@pytest.mark.parametrize(
    "body",
    [
        # Binds of the host, in every form.
        "volumes: ['/etc:/x']",
        "volumes: ['/:/host:ro']",
        "volumes: ['/var/run/docker.sock:/var/run/docker.sock']",
        "volumes: ['~/.ssh:/x']",
        "volumes: ['~root/.ssh:/x']",
        "volumes: ['../x:/x']",
        "volumes: ['./a/../../x:/x']",
        "volumes: ['./..:/x']",
        r"volumes: ['C:\x:/x']",
        r"volumes: ['\\server\share:/x']",
        "volumes: ['./a:/x:rshared']",
        "volumes: ['./a:/x:shared']",
        "volumes: ['./a:x']",
        "volumes: ['./a:/']",
        "volumes: ['./a:/x/../../proc']",
        "volumes: [{type: bind, source: /etc, target: /x}]",
        "volumes: [{type: bind, source: ../.., target: /x}]",
        "volumes: [{type: bind, source: ./a, target: /x, bind: {propagation: rshared}}]",
        "volumes: [{type: npipe, source: x, target: /x}]",
        "volumes: [{type: cluster, source: x, target: /x}]",
        "volumes: [{type: image, source: x, target: /x}]",
        "volumes: [{type: volume, source: /etc, target: /x}]",
        "volumes: [{type: volume, source: data, target: /x, volume: {subpath: ../..}}]",
        "volumes: ['${HOSTROOT}:/x']",
        # Tmpfs with options that open the host.
        "tmpfs: ['/x:exec']",
        "tmpfs: ['/x:dev,suid']",
        # Namespaces and walls.
        "network_mode: host",
        "network_mode: bridge",
        "network_mode: container:other",
        "pid: host",
        "ipc: host",
        "uts: host",
        "userns_mode: host",
        "cgroup: host",
        "security_opt: ['seccomp=unconfined']",
        "security_opt: ['seccomp:unconfined']",
        "security_opt: [apparmor=unconfined]",
        "security_opt: ['label:disable']",
        "security_opt: [systempaths=unconfined]",
        "security_opt: ['no-new-privileges:false']",
        "privileged: true",
        "privileged: 'true'",
        "privileged: yes",
        "use_api_socket: true",
        "cap_add: [SYS_ADMIN]",
        "devices: ['/dev/kmsg:/dev/kmsg']",
        "deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}",
        "extra_hosts: ['h:host-gateway']",
        "extra_hosts: {h: host-gateway}",
        # Images of this machine by id.
        "image: sha256:" + "a" * 64,
        "image: " + "a" * 64,
        "image: 0123456789ab",
        "image: 'x:'",
        "image: ''",
        # Builds that leave the repository.
        "build: /etc",
        "build: ..",
        "build: ~",
        "build: ~/x",
        "build: https://example.com/x.git",
        "build: git@example.com:x/y.git",
        "build: github.com/x/y",
        "build: git://example.com/x",
        "build: {context: 'https://example.com/x.tar'}",
        "build: {context: ., dockerfile: ../Dockerfile}",
        "build: {context: ., dockerfile: /etc/passwd}",
        "build: {context: sub, dockerfile: ../../etc/passwd}",
        "build: {context: ., network: host}",
        "build: {context: ., network: 'container:x'}",
        "build: {context: ., ssh: [default]}",
        "build: {context: ., tags: [other:latest]}",
        "build: {context: ., privileged: true}",
        "build: {context: ., entitlements: [security.insecure]}",
        "build: {context: ., cache_to: ['type=local,dest=/x']}",
        "build: {context: ., extra_hosts: ['x:1.1.1.1']}",
        "build: {context: ., isolation: process}",
        "build: {context: ., secrets: [x]}",
        "build: {context: ., additional_contexts: {x: /etc}}",
        "build: {context: ., args: {BUILDKIT_SYNTAX: evil/frontend}}",
        "build: {context: ., platforms: [linux/amd64, linux/arm64]}",
        # Files of the host.
        "env_file: /etc/environment",
        "env_file: ../secrets.env",
        "env_file: [{path: ../../x}]",
        # Names that are not names.
        "container_name: '../x'",
        "hostname: 'a b'",
        "networks: {default: {driver_opts: {a: b}}}",
        "stop_signal: 'SIG; rm'",
        "restart: maybe",
        "platform: ../x",
        "deploy: {unknown: 1}",
    ],
)
def test_hostile_services_are_refused(body: str) -> None:
    with pytest.raises(ComposeError) as caught:
        service_of(body, {"HOSTROOT": "/"})
    assert caught.value.place.line
    assert caught.value.place.path.startswith("services.a")


@pytest.mark.parametrize(
    "section",
    [
        "volumes: {v: {driver: nfs}}",
        "volumes: {v: {driver_opts: {type: none, o: bind, device: /}}}",
        "volumes: {v: {external: true}}",
        "volumes: {v: {external: {name: other}}}",
        "volumes: {v: {drivr: local}}",
        "networks: {n: {driver: host}}",
        "networks: {n: {driver: macvlan}}",
        "networks: {n: {driver_opts: {parent: eth0}}}",
        "networks: {n: {external: true}}",
        "networks: {default: {external: true, name: other}}",
        "secrets: {s: {file: /etc/shadow}}",
        "configs: {c: {file: /etc/passwd}}",
        "include: [../other.yaml]",
        "include: ['oci://example.com/x']",
        "models: {m: {model: x}}",
        "servces: {}",
    ],
)
def test_hostile_sections_are_refused(section: str) -> None:
    with pytest.raises(ComposeError) as caught:
        stack_of(f"services: {{a: {{image: x}}}}\n{section}\n")
    assert caught.value.place.line == 2
