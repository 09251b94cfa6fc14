"""Secrets, configs, limits and hooks: what a service is given, and what is refused."""

import pytest

from orchestrator.compose.model import FileMount, Hook, Service, Ulimit
from orchestrator.compose.services.stack import read
from orchestrator.compose.services.x_preview import declared_secrets
from orchestrator.preview.errors import ComposeError

SECTIONS = """
secrets: {file: {file: ./s.txt}, variable: {environment: TOKEN}, gone: {file: ./none.txt}, unset: {environment: NOPE}}
configs: {inline: {content: "x ${TOKEN}"}}
"""


def service(body: str) -> Service:
    text = f"services: {{a: {{image: x, {body}}}, b: {{image: y}}}}\nvolumes: {{data: }}{SECTIONS}"
    return read({"compose.yaml": text.encode(), "s.txt": b"s"}, "compose.yaml", {"TOKEN": "t"}).services["a"]


def test_a_secret_is_a_file_of_the_repository_or_a_variable() -> None:
    found = service("secrets: [file, {source: variable, target: other, uid: '5', mode: 0440}]").secrets
    assert found == (
        FileMount(name="file", target="/run/secrets/file", path="s.txt"),
        FileMount(name="variable", target="/run/secrets/other", content="t", uid=5, mode=0o440),
    )


def test_a_config_stands_at_the_root_unless_it_says_where() -> None:
    found = service("configs: [inline, {source: inline, target: /etc/x}]").configs
    assert [(mount.target, mount.content) for mount in found] == [("/inline", "x t"), ("/etc/x", "x t")]


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("secrets: [nope]", "not declared"),
        ("secrets: [gone]", "not in the repository"),
        ("secrets: [unset]", "NOPE has no value"),
        ("secrets: [{source: file, target: ../../etc/passwd}]", "not a path in the container"),
        ("secrets: [{source: file, uid: root}]", "not a user's"),
        ("ulimits: {nofil: 5}", "cannot be set"),
        ("ulimits: {nofile: {soft: 5, hard: 2}}", "above the hard limit"),
        ("ulimits: {nofile: {soft: 5}}", "no `hard`"),
        ("volumes_from: ['container:x']", "outside the preview"),
        ("volumes: [{type: volume, source: data, target: /d, volume: {subpath: x}}]", "before API 1.45 mounts all"),
        ("volumes: ['./d:/proc/x']", "belongs to the kernel"),
        ("post_start: [{command: []}]", "runs nothing"),
    ],
)
def test_what_a_preview_is_not_given(body: str, what: str) -> None:
    with pytest.raises(ComposeError, match=what) as caught:
        service(body)
    assert caught.value.place.line
    assert caught.value.remedy


def test_limits_are_held_down() -> None:
    found = service("ulimits: {nofile: 100, memlock: -1, nproc: {soft: 1, hard: 999999}}").ulimits
    assert found["nofile"] == Ulimit(soft=100, hard=100)
    assert found["memlock"] == Ulimit(soft=64 * 1024**2, hard=64 * 1024**2)
    assert found["nproc"] == Ulimit(soft=1, hard=4096)


def test_hooks_replicas_and_namespaces() -> None:
    found = service("post_start: [{command: a b, user: u, environment: {A: 1}}], scale: 3, network_mode: 'service:b'")
    assert found.post_start == (Hook(command=("a", "b"), user="u", environment={"A": "1"}),)
    assert found.replicas == 3
    assert (found.networks, found.network_service) == ({}, "b")


def test_secrets_are_declared_by_the_whole_project() -> None:
    files = {
        "compose.yaml": b"services: {a: {image: '${B:?}'}}\nx-preview: {port: 1, secrets: [A]}",
        "compose.override.yaml": b"x-preview: {port: '${PORT:?}', secrets: [A, B]}",
    }
    assert declared_secrets(files, "compose.yaml") == ("A", "B")
    over = {**files, "compose.override.yaml": b"x-preview: {secrets: !override [C]}"}
    assert declared_secrets(over, "compose.yaml") == ("C",)
    assert declared_secrets({**files, "compose.override.yaml": b"x-preview: !reset {}"}, "compose.yaml") == ()
    assert declared_secrets({"compose.yaml": b"services: {a: {image: x}}"}, "compose.yaml") == ()


def test_what_is_declared_early_is_what_the_project_says() -> None:
    files = {
        "compose.yaml": b"include: [inc.yaml]\nservices: {a: {image: x}}\nx-preview: {secrets: [A]}",
        "compose.override.yaml": b"x-preview: {secrets: [B]}",
        "inc.yaml": b"services: {b: {image: x}}\nx-preview: {secrets: [C]}",
    }
    assert read(files, "compose.yaml", {}).preview.secrets == declared_secrets(files, "compose.yaml") == ("A", "B")
