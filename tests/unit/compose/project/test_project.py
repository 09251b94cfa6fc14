"""Several files to one project: what is merged, extended and included, and where an error in it is said to stand."""

import pytest

from orchestrator.compose.model import VolumesFrom
from orchestrator.compose.project.project import project
from orchestrator.compose.schema.shapes import plain_value
from orchestrator.compose.services.stack import read
from orchestrator.preview.errors import ComposeError

ONE = "services: {a: {image: x, ports: ['1:1'], environment: {A: 1}, command: [c]}}\n"


def services(**files: str) -> dict[str, object]:
    """The services of `compose.yaml` as plain values; `__` in a name is a dot, `___` a slash."""
    contents = {name.replace("___", "/").replace("__", "."): text.encode() for name, text in files.items()}
    found = project(contents, "compose.yaml", {"GIVEN": "given"})
    return {name: plain_value(node) for name, node in found.section("services").items()}


def refused(**files: str) -> ComposeError:
    with pytest.raises(ComposeError) as caught:
        services(**files)
    assert caught.value.remedy
    return caught.value


def test_an_override_file_adds_replaces_and_takes_away() -> None:
    over = "services: {a: {ports: !reset [], environment: {B: 2}, command: !override [d], user: u}}"
    found = services(compose__yaml=ONE, compose__override__yaml=over)["a"]
    assert found == {"image": "x", "environment": {"A": "1", "B": "2"}, "command": ["d"], "user": "u"}


def test_what_is_extended_keeps_its_own_folder() -> None:
    found = services(
        compose__yaml="services: {a: {extends: {file: lib/base.yaml, service: base}, user: u}}",
        lib___base__yaml="services: {base: {build: ., env_file: ../x.env, volumes: ['./d:/d']}}",
    )["a"]
    assert isinstance(found, dict)
    assert found["build"] == {"context": "lib"}
    assert found["env_file"] == [{"path": "x.env"}]
    assert found["volumes"][0]["source"] == "lib/d"
    assert found["user"] == "u"


def test_an_included_file_has_its_own_folder_and_variables() -> None:
    found = services(
        compose__yaml="include: [lib/inc.yaml]\n" + ONE,
        lib___inc__yaml="services: {i: {image: '${OWN}', environment: [OWN, GIVEN], build: .}}",
        lib_____env="OWN=own\nGIVEN=not this\n",
    )["i"]
    assert found == {"image": "own", "environment": {"OWN": "own", "GIVEN": "given"}, "build": {"context": "lib"}}


def test_the_including_file_has_the_last_word() -> None:
    found = services(compose__yaml="include: [inc.yaml]\n" + ONE, inc__yaml="services: {a: {image: y, user: u}}")["a"]
    assert isinstance(found, dict)
    assert (found["image"], found["user"]) == ("x", "u")


def test_circles_are_refused_with_the_chain() -> None:
    extends = refused(compose__yaml="services:\n  a: {extends: b}\n  b: {extends: a}\n")
    assert "a (compose.yaml) -> b (compose.yaml) -> a (compose.yaml)" in extends.what
    include = refused(compose__yaml="include: [inc.yaml]\n" + ONE, inc__yaml="include: [compose.yaml]\n" + ONE)
    assert "compose.yaml -> inc.yaml -> compose.yaml" in include.what


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("services: {a: {extends: bas}, base: {image: x}}", "no service `bas`"),
        ("services: {a: {extends: {file: nope.yaml, service: x}}}", "nope.yaml is not in the repository"),
        ("services: {a: {extends: {file: ../up.yaml, service: x}}}", "leaves the repository"),
        ("services: {a: {extends: {file: /etc/x.yaml, service: x}}}", "a path of the host"),
        ("services: {a: {extends: {file: 'https://x/y.yaml', service: x}}}", "not in the repository"),
        ("services: {a: {extends: {service: b, fil: x}}, b: {image: x}}", "unknown key `fil`"),
        ("include: [nope.yaml]\n" + ONE, "nope.yaml is not in the repository"),
        ("include: ['oci://example.com/x']\n" + ONE, "not in the repository"),
        ("include: [{path: x.yaml, project_directory: ../..}]\n" + ONE, "leaves the repository"),
        ("include: [{path: x.yaml, env_file: nope.env}]\n" + ONE, "nope.env is not in the repository"),
    ],
)
def test_what_cannot_be_followed_is_refused_where_it_is_asked_for(text: str, what: str) -> None:
    error = refused(compose__yaml=text, x__yaml="services: {}")
    assert what in error.what
    assert (error.place.file, error.place.line) == ("compose.yaml", 1)


def test_an_error_in_another_file_is_said_to_stand_there() -> None:
    error = refused(compose__yaml="include: [inc.yaml]\n" + ONE, inc__yaml="services:\n  i:\n    imag: x\n")
    assert (error.place.file, error.place.line, error.place.path) == ("inc.yaml", 3, "services.i.imag")
    assert error.remedy == "Did you mean `image`?"


def test_links_namespaces_and_shared_volumes_are_dependencies() -> None:
    text = "services: {a: {image: x, links: ['b:db'], volumes_from: ['c:ro']}, b: {image: y}, c: {image: z}}"
    service = read({"compose.yaml": text.encode()}, "compose.yaml", {}).services["a"]
    assert list(service.depends_on) == ["b", "c"]
    assert service.links == {"db": "b"}
    assert service.volumes_from == (VolumesFrom(service="c", read_only=True),)


def test_a_service_with_an_inactive_profile_asks_nothing() -> None:
    text = "services: {a: {image: x}, debug: {image: y, privileged: true, profiles: [debug]}}"
    assert list(read({"compose.yaml": text.encode()}, "compose.yaml", {}).services) == ["a"]
    with pytest.raises(ComposeError, match="`privileged` is not allowed"):
        read({"compose.yaml": text.encode()}, "compose.yaml", {"COMPOSE_PROFILES": "debug"})
