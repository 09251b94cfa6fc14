"""What a whole project must say together: each refusal once, for both that read it, at its place and with a remedy."""

from collections.abc import Mapping

import pytest

from orchestrator.compose.canonical import canonical
from orchestrator.compose.project.consistency import circle
from orchestrator.compose.project.project import project
from orchestrator.compose.services.stack import read
from orchestrator.preview.errors import ComposeError

AROUND = """
  b: {image: y}
  off: {image: y, profiles: [p]}
volumes: {data: }
networks: {front: }
secrets: {pass: {file: f}}
"""


def _refusal(text: str, variables: Mapping[str, str]) -> ComposeError:
    """What `previewd check --config` says; the reading of a stack must say the same."""
    files = {"compose.yaml": text.encode(), "f": b""}
    with pytest.raises(ComposeError) as as_compose:
        canonical(project(files, "compose.yaml", variables), files, "/", "p")
    with pytest.raises(ComposeError) as as_preview:
        read(files, "compose.yaml", variables)
    assert as_compose.value.message == as_preview.value.message
    assert as_compose.value.remedy == as_preview.value.remedy
    return as_compose.value


@pytest.mark.parametrize(
    ("body", "path", "what", "remedy"),
    [
        ("hostname: h", "", "neither `image` nor `build`", "Give it one"),
        ("image: ''", ".image", "`` is not an image's name", "name:tag"),
        ("image: x, networks: [frnt]", ".networks[0]", "the network `frnt` is not declared", "`front`?"),
        ("image: x, networks: {n: {}}", ".networks.n", "the network `n` is not declared", "Add `networks: {n: }`"),
        ("image: x, networks: [front], network_mode: none", ".networks", "exclude each other", "Keep one"),
        ("image: x, volumes: ['db:/x']", ".volumes[0]", "the volume `db` is not declared", "or write ./db."),
        ("image: x, volumes: [{type: volume, source: n, target: /x}]", ".volumes[0].source", "is not declared", "Add"),
        (
            "image: x, volumes: [{type: volume, source: a b, target: /x}]",
            ".volumes[0].source",
            "a volume's name",
            "./a b",
        ),
        ("image: x, volumes: [{type: bind, target: /x}]", ".volumes[0]", "a bind needs `source`", "./data"),
        ("image: x, secrets: [n]", ".secrets[0]", "the secret `n` is not declared", "Add it to `secrets:`"),
        ("image: x, configs: [{source: n}]", ".configs[0].source", "the config `n` is not declared", "Add it"),
        ("image: x, secrets: [{target: t}]", ".secrets[0]", "this names no secret", "Write `source: name`"),
        ("build: {context: ., secrets: [n]}", ".build.secrets[0]", "the secret `n` is not declared", "Add it"),
        (
            "build: {dockerfile: D, dockerfile_inline: FROM x}",
            ".build.dockerfile_inline",
            "`dockerfile` and `dockerfile_inline` exclude each other",
            "Keep one",
        ),
        ("image: x, healthcheck: {test: [curl]}", ".healthcheck.test", "the test starts with `curl`", "CMD-SHELL"),
        ("image: x, depends_on: [n]", ".depends_on[0]", "there is no service `n`", "Remove"),
        ("image: x, links: [off]", ".links[0]", "`off` has a profile that is not active", "COMPOSE_PROFILES"),
        ("image: x, depends_on: [a]", "", "in a circle: a -> a", "Remove one"),
    ],
)
def test_what_does_not_fit_is_refused_alike_by_both(body: str, path: str, what: str, remedy: str) -> None:
    error = _refusal(f"services:\n  a: {{{body}}}{AROUND}", {})
    assert error.place.path == f"services.a{path}"
    assert error.place.line == 2
    assert what in error.what
    assert remedy in error.remedy


@pytest.mark.parametrize(
    ("declared", "what"), [("{}", "the secret has no content"), ("{file: f, environment: E}", "exactly one of")]
)
def test_a_secret_has_one_content_whether_a_service_is_given_it_or_not(declared: str, what: str) -> None:
    error = _refusal(f"services: {{a: {{image: x}}}}\nsecrets: {{s: {declared}}}\n", {})
    assert what in error.what
    assert (error.place.line, error.place.path) == (2, "secrets.s")


@pytest.mark.parametrize("service", ["", "{}"])
def test_an_empty_service_is_refused(service: str) -> None:
    assert _refusal(f"services:\n  b: {{image: y}}\n  a: {service}\n", {}).place.path == "services.a"


def test_a_service_that_does_not_start_may_name_what_is_not_there() -> None:
    idle = "  idle: {image: x, profiles: [p], networks: [n], volumes: ['db:/x'], secrets: [n], depends_on: [n]}\n"
    text = f"services:\n  a: {{image: x}}\n{idle}"
    files = {"compose.yaml": text.encode()}
    assert list(read(files, "compose.yaml", {}).services) == ["a"]
    assert list(canonical(project(files, "compose.yaml", {}), files, "/", "p")["services"]) == ["a"]
    assert "the network `n`" in _refusal(text, {"COMPOSE_PROFILES": "p"}).what


def test_a_service_that_the_preview_block_names_starts_and_is_held_to_the_same() -> None:
    text = "services:\n  a: {image: x}\n  idle: {image: x, profiles: [p], networks: [n]}\nx-preview: {service: idle}\n"
    with pytest.raises(ComposeError, match="the network `n` is not declared"):
        read({"compose.yaml": text.encode()}, "compose.yaml", {})


def test_what_fits_is_asked_before_the_values_are_read() -> None:
    text = "services:\n  a: {image: x, hostname: 'not one'}\n  b: {image: x, networks: [n]}\n"
    with pytest.raises(ComposeError, match="the network `n` is not declared"):
        read({"compose.yaml": text.encode()}, "compose.yaml", {})


@pytest.mark.parametrize(
    ("needs", "found"),
    [
        ({"a": "b", "b": ""}, ""),
        ({"a": "gone"}, ""),
        ({"a": "a"}, "a a"),
        ({"a": "b", "b": "c", "c": "a"}, "a b c a"),
        ({"x": "a", "a": "b", "b": "a"}, "a b a"),
    ],
)
def test_circles(needs: Mapping[str, str], found: str) -> None:
    assert circle({name: frozenset(wanted.split()) for name, wanted in needs.items()}) == tuple(found.split())
