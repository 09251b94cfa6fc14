"""A repository to a Stack: what is found, what is kept, what is refused, and what is only said."""

import pytest

from orchestrator.codebase.python.packages import Driver
from orchestrator.compose.model import Build, Condition, DatabaseMode, Encoding, Mount, MountKind, Reset, Template
from orchestrator.compose.services.stack import NAMES, find, read
from orchestrator.preview.errors import ComposeError
from tests.unit.compose.support import service_of, stack_of

ONE = "services:\n  a:\n    image: x\n"


def test_the_first_name_wins() -> None:
    assert find(["README.md", *reversed(NAMES)]) == "compose.preview.yaml"
    assert find(["docker-compose.yaml", "docker-compose.preview.yml"]) == "docker-compose.preview.yml"
    assert find(["sub/compose.yaml"]) is None


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ComposeError, match="no such file"):
        read({}, "compose.yaml", {})


@pytest.mark.parametrize(
    ("path", "override"),
    [("compose.yaml", "compose.override.yaml"), ("docker-compose.yml", "docker-compose.override.yml")],
)
def test_an_override_file_is_merged(path: str, override: str) -> None:
    over = b"services:\n  a:\n    hostname: over\n"
    service = read({path: ONE.encode(), override: over}, path, {}).services["a"]
    assert (service.image, service.hostname) == ("x", "over")


def test_an_override_file_beside_a_preview_file_does_not_matter() -> None:
    files = {"compose.preview.yaml": ONE.encode(), "compose.override.yaml": ONE.encode()}
    assert list(read(files, "compose.preview.yaml", {}).services) == ["a"]


@pytest.mark.parametrize("text", ["services: {}\n", "x-a: 1\n"])
def test_a_file_without_services_is_refused(text: str) -> None:
    with pytest.raises(ComposeError, match="no services"):
        stack_of(text)


def test_variables_win_over_dotenv_and_only_dotenv_fills_the_rest() -> None:
    text = ONE + "    environment:\n      A: $A\n      B: $B\n      C: ${C}\n      D:\n      E:\n"
    stack = stack_of(text, {"A": "given"}, __env="A=file\nB=file\nD=file\n")
    service = stack.services["a"]
    assert service.environment == {"A": "given", "B": "file", "C": "", "D": "file"}
    assert service.sources.keys() == {"A", "B", "C", "D"}
    assert service.unset == {"E"}
    assert stack.warnings == (
        "compose.yaml:7:10 services.a.environment.C: the variable C has no value; it is read as empty.",
    )


def test_the_environment_of_the_process_is_never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "leaked")
    service = service_of("environment: [CANARY, 'X=$CANARY']\nbuild: {context: ., args: [CANARY]}")
    assert service.environment == {"X": ""}
    assert service.build is not None
    assert not service.build.args


def test_env_files_come_first_and_the_later_one_wins() -> None:
    service = service_of(
        "env_file: [one.env, {path: two.env}, {path: none.env, required: false}]\nenvironment: {C: mine}",
        one__env="A=1\nB=1\nC=1\n",
        two__env="B=2\nD='$X'\n",
    )
    assert service.environment == {"A": "1", "B": "2", "C": "mine", "D": "$X"}


def test_a_name_that_nobody_sets_takes_away_what_an_env_file_gave() -> None:
    service = service_of("env_file: one.env\nenvironment: [A]", one__env="A=1\nB=$A\n")
    assert service.environment == {"B": "1"}
    assert service.unset == {"A"}


def test_a_missing_env_file_names_what_nobody_sets() -> None:
    text = ONE + "    env_file: .env\n    environment: {KNOWN: 1}\n"
    stack = stack_of(text, {"GIVEN": "x"}, __env__example="KNOWN=\nGIVEN=\nSMTP_HOST=\nAPI_KEY=\n")
    expected = ".env is not in the repository; nobody sets API_KEY, SMTP_HOST (from .env.example)."
    assert stack.warnings == (f"compose.yaml:4:15 services.a.env_file: {expected}",)


def test_a_missing_env_file_without_an_example_is_said_too() -> None:
    (warning,) = stack_of(ONE + "    env_file: [app.env]\n").warnings
    assert "app.env is not in the repository" in warning


def test_profiles_start_only_when_active_or_named() -> None:
    text = ONE + "  b: {image: y, profiles: [debug]}\n  c: {image: z, profiles: [tools]}\n"
    assert list(stack_of(text).services) == ["a"]
    assert list(stack_of(text, {"COMPOSE_PROFILES": "debug"}).services) == ["a", "b"]
    assert list(stack_of(text, {"COMPOSE_PROFILES": "*"}).services) == ["a", "b", "c"]
    assert list(stack_of(text, __env="COMPOSE_PROFILES=tools\n").services) == ["a", "c"]
    assert list(stack_of(text + "x-preview: {service: c}\n").services) == ["a", "c"]


@pytest.mark.parametrize(
    ("depends", "what", "remedy"),
    [
        ("[d]", "no service `d`", "Remove"),
        ("[bb]", "no service `bb`", "Did you mean `b`"),
        ("[off]", "a profile that is not active", "COMPOSE_PROFILES"),
        ("[b]", "in a circle: a -> b -> a", "Remove one"),
        ("[a]", "in a circle: a -> a", "Remove one"),
        ("[b, b]", "twice", "Remove one"),
        ("{b: {}}", "`condition` is missing", "Add `condition:`"),
        ("{b: {condition: healthy}}", "`healthy` is none of", "Did you mean `service_healthy`"),
    ],
)
def test_dependencies_that_cannot_be_met_are_refused(depends: str, what: str, remedy: str) -> None:
    text = ONE + f"    depends_on: {depends}\n  b: {{image: y, depends_on: [a]}}\n  off: {{image: z, profiles: [p]}}\n"
    with pytest.raises(ComposeError, match=what) as caught:
        stack_of(text)
    assert remedy in caught.value.remedy


def test_dependencies() -> None:
    found = service_of("depends_on: {b: {condition: service_healthy, required: false, restart: true}}").depends_on["b"]
    assert (found.condition, found.required, found.restart) == (Condition.HEALTHY, False, True)


def test_a_dependency_that_may_be_missing_may_have_a_profile() -> None:
    text = ONE + "    depends_on: {b: {condition: service_started, required: false}}\n  b: {image: y, profiles: [p]}\n"
    assert list(stack_of(text).services) == ["a"]


@pytest.mark.parametrize(
    ("body", "build"),
    [
        ("build: .", Build()),
        ("build: ./api", Build(context="api")),
        ("build: {context: api, dockerfile: docker/D}", Build(context="api", dockerfile="docker/D")),
        ("build: {context: ., dockerfile: ./docker/../D}", Build(dockerfile="D")),
        ("build: {dockerfile_inline: FROM x}", Build(dockerfile_inline="FROM x")),
        ("build: {context: ., target: t, no_cache: true}", Build(target="t", no_cache=True)),
        ("build: {context: ., args: [A=1, B, C]}", Build(args={"A": "1", "B": "two"})),
        ("build: {context: ., platforms: [linux/amd64]}", Build(platform="linux/amd64")),
        ("image: reg/app:$GIT_SHA", Build()),
        ("image: reg/app:${TAG}", None),
    ],
)
def test_builds(body: str, build: Build | None) -> None:
    assert service_of(body, {"B": "two", "GIT_SHA": "abc", "TAG": "1"}).build == build


def test_a_service_may_use_the_image_that_another_one_builds() -> None:
    stack = stack_of("services:\n  a: {build: ./x, image: app:latest}\n  w: {image: app:latest}\n  r: {image: redis}\n")
    assert stack.services["w"].build == stack.services["a"].build
    assert not stack.services["r"].from_repository


@pytest.mark.parametrize(
    ("written", "mount"),
    [
        ("./here:/x", Mount(kind=MountKind.BIND, source="here", target="/x")),
        ("./here/file:/x:ro", Mount(kind=MountKind.BIND, source="here/file", target="/x", read_only=True)),
        (".:/x:cached", Mount(kind=MountKind.BIND, source=".", target="/x")),
        ("./gone/sub:/x", Mount(kind=MountKind.VOLUME, source="_bind-9d55d59ba3b88a23-gone-sub", target="/x")),
        ("data:/x/", Mount(kind=MountKind.VOLUME, source="data", target="/x")),
        ("/x", Mount(kind=MountKind.ANONYMOUS, target="/x")),
        ("{type: tmpfs, target: /x, tmpfs: {size: 1m}}", Mount(kind=MountKind.TMPFS, target="/x", size=1048576)),
        ("{type: volume, target: /x}", Mount(kind=MountKind.ANONYMOUS, target="/x")),
    ],
)
def test_mounts(written: str, mount: Mount) -> None:
    text = f"services:\n  a:\n    image: x\n    volumes:\n      - {written}\nvolumes: {{data: }}\n"
    stack = read({"compose.yaml": text.encode(), "here/file": b""}, "compose.yaml", {})
    assert stack.services["a"].volumes == (mount,)
    assert stack.volumes == ((mount.source,) if mount.kind is MountKind.VOLUME else ())


def test_a_folder_given_by_the_variable_is_judged_after_the_substitution() -> None:
    with pytest.raises(ComposeError, match="a path of the host"):
        service_of("volumes: ['${WHERE:-/etc}:/x']")


@pytest.mark.parametrize(
    ("command", "words", "dropped"),
    [("migrate && serve", ("migrate",), "&& serve"), ("serve 2>/dev/null", ("serve",), "2>/dev/null")],
)
def test_a_command_that_needs_a_shell_is_said(command: str, words: tuple[str, ...], dropped: str) -> None:
    stack = stack_of(ONE + f"    command: {command}\n")
    assert stack.services["a"].command == words
    assert f"`{dropped}` is dropped" in stack.warnings[0]


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        ("stop_grace_period: 24h", "stop_grace_period", 10.0),
        ("shm_size: 64g", "shm_size", 1024**3),
        ("tmpfs: ['/x:size=64g,mode=1777', /y]", "tmpfs", {"/x": "size=1073741824,mode=1777", "/y": ""}),
        ("network_mode: none", "networks", {}),
        ("container_name: my_db\nnetworks: {other: {aliases: [z]}}", "networks", {"other": ("my_db", "z")}),
        ("restart: no", "restart", "no"),
        ("restart: on-failure:3", "restart", "on-failure:3"),
        ("security_opt: ['no-new-privileges:true']", "name", "a"),
        ("expose: [80-82, 53/udp]", "expose", (80, 81, 82)),
    ],
)
def test_values_that_previewd_holds_down_or_moves(body: str, field: str, value: object) -> None:
    assert getattr(service_of(body), field) == value


def test_a_test_cannot_run_without_pause() -> None:
    check = service_of("healthcheck: {test: x, interval: 1ms}").healthcheck
    assert check is not None
    assert check.interval == 1.0


def test_a_reset_takes_the_value_away_and_an_override_is_the_value() -> None:
    service = service_of("hostname: !reset h\nuser: !override u\nports: !reset [80]")
    assert (service.hostname, service.user, service.ports) == (None, "u", ())


def test_a_misspelt_preview_block_is_said() -> None:
    assert "did you mean `x-preview`?" in stack_of(ONE + "x-previews: {service: a}\n").warnings[0]
    assert not stack_of(ONE + "x-common: {service: a}\n").warnings


def test_the_preview_block() -> None:
    block = stack_of(
        ONE
        + """
x-preview:
  service: a
  port: 8000
  health: /healthz?full=1
  database: {mode: container, service: db, driver: asyncpg, template: seeded, reset: always, migrations: ./db/versions}
  encode: {CORS_ORIGINS: json}
  secrets: [JWT_SECRET, SESSION_SECRET]
  ttl: 72h
  sleep: 30m
"""
    ).preview
    assert (block.service, block.port, block.health) == ("a", 8000, "/healthz?full=1")
    database = block.database
    assert (database.mode, database.service, database.driver) == (DatabaseMode.CONTAINER, "db", Driver.ASYNCPG)
    assert (database.template, database.reset, database.migrations) == (Template.SEEDED, Reset.ALWAYS, "db/versions")
    assert block.encode == {"CORS_ORIGINS": Encoding.JSON}
    assert block.secrets == ("JWT_SECRET", "SESSION_SECRET")
    assert (block.ttl, block.sleep) == (72 * 3600, 1800)


def test_what_the_preview_block_says_in_vain_is_told() -> None:
    stack = stack_of(ONE + "x-preview:\n  ttl: 72h\n  sleep: 30m\n")
    ttl, sleep = stack.notes
    assert ttl.startswith("compose.yaml:5:8 x-preview.ttl: `ttl` is understood, but has no effect yet: a preview stays")
    assert sleep.startswith("compose.yaml:6:10 x-preview.sleep: `sleep` is understood, but has no effect yet: ")
    assert not stack_of(ONE + "x-preview: {ttl: , port: 80}\n").notes


@pytest.mark.parametrize(
    ("block", "what"),
    [
        ("{servce: a}", "unknown key `servce`"),
        ("{service: nope}", "no service `nope`"),
        ("{port: 0}", "whole number from 1 to 65535"),
        ("{port: web}", "whole number from 1 to 65535"),
        ("{health: health}", "not a path"),
        ("{health: //evil.example.com/}", "not a path"),
        ("{health: '/a b'}", "not a path"),
        ("{database: {mode: magic}}", "none of managed"),
        ("{database: {migrations: ../x}}", "leaves the repository"),
        ("{encode: {A: xml}}", "none of csv"),
        ("{encode: {'A B': json}}", "not a variable's name"),
        ("{secrets: ['A=B']}", "not a variable's name"),
        ("{ttl: soon}", "not a duration"),
        ("{ttl: 0}", "must be a|not a duration"),
        ("{sleep: 0s}", "longer than nothing"),
        ("[a]", "must be a mapping"),
    ],
)
def test_a_wrong_preview_block_is_refused(block: str, what: str) -> None:
    with pytest.raises(ComposeError, match=what) as caught:
        stack_of(ONE + f"x-preview: {block}\n")
    assert caught.value.place.path.startswith("x-preview")


@pytest.mark.parametrize(
    ("body", "path", "what"),
    [
        ("ports: ['x']", "services.a.ports[0]", "not a port"),
        ("ports: ['80:90-91']", "services.a.ports[0]", "ranges of different length"),
        ("ports: 80", "services.a.ports", "must be a list"),
        ("command: [1]", "services.a.command[0]", "must be a string"),
        ('command: "a \'b"', "services.a.command", "cannot be split"),
        ("environment: {A: [1]}", "services.a.environment.A", "a string, a number or a boolean"),
        ("environment: ['=1']", "services.a.environment[0]", "needs a name"),
        ("environment: ['A =1']", "services.a.environment[0]", "ends in a blank"),
        ("healthcheck: {intervall: 1s}", "services.a.healthcheck.intervall", "unknown key"),
        ("healthcheck: {test: [curl, x]}", "services.a.healthcheck.test", "starts with `curl`"),
        ("networks: [othr]", "services.a.networks[0]", "not declared"),
        ("volumes: ['dta:/x']", "services.a.volumes[0]", "not declared"),
        (
            "user: u\nbuild: {context: api, dockerfile: ../../D}",
            "services.a.build.dockerfile",
            "leaves the repository",
        ),
        ("init: perhaps", "services.a.init", "true or false"),
        ("mem_limit: lots", "services.a.mem_limit", "not a size"),
        ("cpus: lots", "services.a.cpus", "must be a number"),
        ("environment: {A: '${B'}", "services.a.environment.A", "not a valid use"),
    ],
)
def test_wrong_forms_are_refused_where_they_stand(body: str, path: str, what: str) -> None:
    with pytest.raises(ComposeError, match=what) as caught:
        service_of(body)
    assert caught.value.place.path == path
    assert caught.value.place.line == 4


SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("image", "of_the_commit"),
    [
        ("ghcr.io/acme/shop:${GIT_SHA}", True),
        (f"ghcr.io/acme/shop:{SHA}", True),
        (f"ghcr.io/acme/shop:sha-{SHA[:7]}", True),
        (f"ghcr.io/acme/shop:pr-7-{SHA[:12]}-arm", True),
        (f"ghcr.io/acme/shop:{SHA[:6]}", False),
        (f"ghcr.io/acme/shop:{SHA[1:9]}", False),
        (f"ghcr.io/acme/shop:{SHA[:7]}9", False),
        ("redis:7", False),
    ],
)
def test_an_image_that_is_named_by_the_commit_is_built_here_or_awaited(image: str, of_the_commit: bool) -> None:
    text = f"services: {{a: {{image: '{image}'}}}}\n"
    here = read({"c.yaml": text.encode()}, "c.yaml", {"GIT_SHA": SHA}).services["a"]
    pulled = read({"c.yaml": f"{text}x-preview: {{image: pull}}".encode()}, "c.yaml", {"GIT_SHA": SHA})
    there = pulled.services["a"]
    assert (here.build is not None, here.awaited) == (of_the_commit, False)
    assert (there.build is not None, there.awaited) == (False, of_the_commit)
    assert here.from_repository == there.from_repository == of_the_commit
    assert any("pulled as soon as" in note for note in pulled.notes) == of_the_commit


def test_caches_of_registries_may_be_used() -> None:
    text = "services: {a: {build: {context: ., cache_from: [x/y:1, 'type=registry,ref=x/z:2', 'type=local,src=/etc']}}}"
    build = read({"c.yaml": text.encode()}, "c.yaml", {}).services["a"].build
    assert build is not None
    assert build.cache_from == ("x/y:1", "x/z:2")


@pytest.mark.parametrize(
    ("services", "what"),
    [
        ("b: {image: y}", "`b` is not built here"),
        ("b: {build: ., profiles: [off]}", "`b` has a profile that is not active"),
        ("bb: {build: .}", "there is no service `b`"),
    ],
)
def test_a_context_of_a_service_that_is_not_built_is_refused_where_it_stands(services: str, what: str) -> None:
    with pytest.raises(ComposeError, match=what) as caught:
        stack_of(
            "services:\n  a:\n    build:\n      context: .\n      additional_contexts: {x: 'service:b'}\n"
            f"  {services}\n"
        )
    assert (caught.value.place.line, caught.value.place.path) == (5, "services.a.build.additional_contexts.x")
    assert caught.value.remedy


def test_a_context_of_a_service_that_is_built_is_taken() -> None:
    text = "services: {a: {build: {context: ., additional_contexts: {x: 'service:b', y: ./y}}}, b: {build: .}}"
    build = stack_of(text).services["a"].build
    assert build is not None
    assert build.additional_contexts == {"x": "service:b", "y": "y"}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ("depends_on: [nope]", "services.a.depends_on[0]"),
        ("links: [nope]", "services.a.links[0]"),
        ("network_mode: service:nope", "services.a.network_mode"),
        ("volumes_from: [nope]", "services.a.volumes_from[0]"),
    ],
)
def test_a_service_that_is_missing_is_missed_where_it_is_named(body: str, path: str) -> None:
    with pytest.raises(ComposeError, match="there is no service `nope`") as caught:
        service_of(body)
    assert (caught.value.place.line, caught.value.place.path) == (4, path)


@pytest.mark.parametrize("body", ["network_mode: service:c", "volumes_from: [c]"])
def test_a_service_without_a_container_has_nothing_to_share(body: str) -> None:
    with pytest.raises(ComposeError, match="its scale is 0") as caught:
        stack_of(f"services:\n  a:\n    image: x\n    {body}\n  c: {{image: y, scale: 0}}\n")
    assert caught.value.place.line == 4


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("services: {a: {image: x, cpus: 1, deploy: {resources: {limits: {cpus: 0.1}}}}}", "differ"),
        ("services: {a: {image: x, scale: 2, deploy: {replicas: 3}}}", "differ"),
        ("services: {a: {image: x}}\nsecrets: {s: {file: f, environment: E}}", "exactly one of"),
        ("services: {a: {build: {dockerfile: D, dockerfile_inline: FROM x}}}", "exclude each other"),
    ],
)
def test_what_compose_refuses_does_not_start(text: str, what: str) -> None:
    with pytest.raises(ComposeError, match=what):
        stack_of(text)


def test_several_networks_are_taken_as_they_are() -> None:
    stack = stack_of("services: {a: {image: x, networks: [f, g]}}\nnetworks: {f: , g: {internal: true}}\n")
    assert stack.networks["g"].internal
    assert not stack.notes
