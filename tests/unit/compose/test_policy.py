"""One word for every key, and every dangerous form refused by name, at its place, with a remedy."""

import pytest

from orchestrator.compose.policy import BUILD, NETWORK, NOT_YET, SERVICE, TOP, VOLUME, Rule, Word
from orchestrator.compose.service import HANDLED
from orchestrator.errors import ComposeError
from tests.unit.compose.support import service_of, stack_of


def test_every_key_that_is_taken_has_a_reader_or_is_refused_by_name() -> None:
    taken = {key for key, rule in SERVICE.items() if rule.word in (Word.OK, Word.CAP, Word.OWN)}
    assert taken == HANDLED | NOT_YET["service"]
    assert not HANDLED & NOT_YET["service"]


@pytest.mark.parametrize("table", [SERVICE, BUILD, TOP, NETWORK, VOLUME])
def test_every_verdict_that_an_author_reads_gives_a_reason(table: dict[str, Rule]) -> None:
    for key, rule in table.items():
        assert rule.why or rule.word in (Word.OK, Word.CAP), key
        assert rule.remedy or rule.word is not Word.DENY, key


@pytest.mark.parametrize("key", sorted(key for key, rule in SERVICE.items() if rule.word is Word.DENY))
def test_a_denied_key_is_refused(key: str) -> None:
    with pytest.raises(ComposeError, match=f"`{key}` is not allowed in a preview") as caught:
        service_of(f"{key}: [anything]")
    assert caught.value.place.path == f"services.a.{key}"
    assert caught.value.place.line == 4
    assert caught.value.remedy


@pytest.mark.parametrize("key", sorted(NOT_YET["service"]))
def test_a_key_that_is_not_read_yet_is_refused(key: str) -> None:
    with pytest.raises(ComposeError, match=f"does not read `{key}` yet"):
        service_of(f"{key}: [anything]")


@pytest.mark.parametrize("key", sorted(key for key, rule in SERVICE.items() if rule.word is Word.STRIP))
def test_a_stripped_key_is_said(key: str) -> None:
    stack = stack_of(f"services:\n  a:\n    image: x\n    {key}: [anything]\n")
    assert [note for note in stack.notes if f"`{key}` is not used" in note]


@pytest.mark.parametrize("body", ["privileged: false", "devices: []", "sysctls: {}", "cap_add: []", "gpus:"])
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
        "network_mode: service:b",
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
        "scale: 0",
        "deploy: {replicas: 0}",
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
