"""What the reader of the file takes, the last gate takes: both ask the same grammar."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.compose.engine.allowlist import assert_harmless
from orchestrator.compose.engine.request import ServiceLimits, Surroundings, aliases_of, container_body, files_of
from orchestrator.compose.inject import Facts
from orchestrator.compose.model import MountKind, Service
from orchestrator.compose.policy.values import is_address, is_host, is_kernels, is_path, is_signal, is_volume
from orchestrator.compose.prepare import prepare
from orchestrator.compose.services.stack import read
from orchestrator.preview.errors import ComposeError
from tests.oracle.fuzz import project
from tests.oracle.grammar import SERVICES
from tests.unit.compose.support import service_of, stack_of

FACTS = Facts(host="h", url="https://h", pull=1, repository="a/b", branch="b", commit="0" * 40)
NINES = "9" * 400


def judged(files: Mapping[str, str]) -> list[dict[str, Any]]:
    """The request for every service of a project, after the last gate. Raises ComposeError for what is refused."""
    stack = prepare({path: text.encode() for path, text in files.items()}, "compose.yaml", FACTS).stack
    return [judged_service(service) for service in stack.services.values()]


def judged_service(service: Service) -> dict[str, Any]:
    binds = {mount.source: f"/copy/{mount.source}" for mount in service.volumes if mount.kind is MountKind.BIND}
    around = Surroundings(
        labels={},
        network="pv-net",
        aliases=aliases_of(service),
        binds=binds,
        limits=ServiceLimits(memory_bytes=1 << 30, cpus=1.0, pids=100),
        volume_name=lambda name: f"pv_{name}",
        files={file.target: f"/files/{file.name}" for file in files_of(service)},
    )
    body = container_body(service, "image", around)
    assert_harmless(body, around)
    json.dumps(body, allow_nan=False)
    return body


ODD_WORDS = st.text("/.:,=_-019aAzé٣ \n%[]{}$~", max_size=12) | st.sampled_from(
    [NINES, f"{NINES}s", "1e-300", "0.0000000001", "1ns", "2562047h", "-1", "0", "/proc/x", "/sys", "/processed", "/"]
)
ODD: Mapping[str, st.SearchStrategy[Any]] = {
    "tmpfs": ODD_WORDS.map(lambda word: f"/x:{word}")
    | ODD_WORDS.map(lambda word: f"/x:uid={word},size={word}")
    | ODD_WORDS,
    "configs": st.builds(lambda word: [{"source": "conf", "target": word}], ODD_WORDS),
    "secrets": st.builds(
        lambda word, mode: [{"source": "pass", "target": word, "mode": mode}], ODD_WORDS, st.integers()
    ),
    "volumes": st.builds(lambda word: [{"type": "volume", "source": "data", "target": word}], ODD_WORDS)
    | ODD_WORDS.map(lambda word: [f"./here:{word}"])
    | ODD_WORDS.map(lambda word: [f"./{word}:/x"]),
    "cpus": ODD_WORDS | st.floats(allow_nan=True),
    **dict.fromkeys(("mem_limit", "shm_size", "pids_limit"), ODD_WORDS | st.integers() | st.floats()),
    "extra_hosts": st.dictionaries(ODD_WORDS, ODD_WORDS | st.just("::1%a\n1.1.1.1 b"), max_size=2)
    | st.builds(lambda word: {word: "1.1.1.1"}, ODD_WORDS),
    "stop_signal": ODD_WORDS,
    "stop_grace_period": ODD_WORDS,
    "working_dir": ODD_WORDS,
    "cap_drop": st.lists(ODD_WORDS | st.sampled_from(["ALL", "cap_net_raw", "BPF"]), max_size=2, unique=True),
    "healthcheck": st.builds(
        lambda word, key: {"test": "x", key: word},
        ODD_WORDS,
        st.sampled_from(["interval", "timeout", "start_period", "retries"]),
    ),
    "ulimits": st.dictionaries(st.sampled_from(["nofile", "core"]), ODD_WORDS | st.integers(), max_size=2),
    "expose": st.lists(ODD_WORDS, max_size=2, unique=True),
    "ports": st.lists(ODD_WORDS, max_size=2, unique=True),
}
ODD_SERVICES = st.lists(st.sampled_from(sorted(ODD)), min_size=1, max_size=2, unique=True).flatmap(
    lambda keys: st.fixed_dictionaries({"image": st.just("x"), **{key: ODD[key] for key in keys}})
)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(SERVICES | ODD_SERVICES)
def test_what_is_read_is_harmless(service: dict[str, Any]) -> None:
    """Whatever is wrong with a file, no other error than one with a place comes of it."""
    try:
        judged(project({"a": service}))
    except ComposeError:
        return


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("tmpfs: '/x:uid=99999999999'", "tmpfs option"),
        ("tmpfs: '/x:mode=٧٧٧'", "tmpfs option"),
        (f"tmpfs: '/x:size={NINES}'", "is not a size"),
        (f"shm_size: '{NINES}'", "is not a size"),
        (f"mem_limit: '{NINES}'", "is not a size"),
        (f"healthcheck: {{test: x, interval: {NINES}s}}", "is not a duration"),
        ("healthcheck: {test: x, start_period: 99999999999h}", "is not a duration"),
        ("stop_grace_period: ١s", "is not a duration"),
        ("cpus: 0.0000000001", "too little of a processor"),
        ("cpus: '١'", "must be a number"),
        ("mem_limit: 1", "too little memory"),
        ("healthcheck: {test: x, timeout: 1ns}", "shorter than the Engine"),
        ("working_dir: rel", "not an absolute path"),
        ("post_start: [{command: x, working_dir: rel}]", "not an absolute path"),
        ("stop_signal: XX", "is not a signal"),
        ("stop_signal: '٩'", "is not a signal"),
        ("cap_drop: [NOSUCH]", "is not a capability"),
        ("extra_hosts: {'a:b': 1.2.3.4}", "is not a host name"),
        ('extra_hosts: {"a\\nb": 1.2.3.4}', "is not a host name"),
        ('extra_hosts: {a: "::1%x\\n1.2.3.4 b"}', "is not an address"),
        ("ports: ['٨٠']", "is not a port"),
        ("ports: ['1-65535']", "more than 1000 ports"),
        ("volumes: ['data:/proc']", "belongs to the kernel"),
        ("volumes: ['data:/x']\ntmpfs: /x", "`volumes` mounts at `/x` too"),
    ],
)
def test_what_the_engine_would_not_take_is_refused_where_it_stands(body: str, what: str) -> None:
    with pytest.raises(ComposeError, match=what) as caught:
        service_of(body)
    assert caught.value.place.line >= 4


@pytest.mark.parametrize("kind", ["secrets", "configs"])
@pytest.mark.parametrize(
    ("target", "what"),
    [
        ("/", "is not a path"),
        ("/proc/x", "belongs to the kernel"),
        ("//sys/x", "belongs to the kernel"),
        ("/etc/../x", "is not a path"),
        ("/data", "`volumes` mounts at `/data` too"),
    ],
)
def test_a_file_stands_where_a_mount_may(kind: str, target: str, what: str) -> None:
    with pytest.raises(ComposeError, match=what):
        granted(kind, target)


@pytest.mark.parametrize("kind", ["secrets", "configs"])
def test_a_target_is_written_plainly(kind: str) -> None:
    service = granted(kind, "/etc//x/./y/")
    assert [file.target for file in getattr(service, kind)] == ["/etc/x/y"]


def granted(kind: str, target: str) -> Service:
    grant = f"{kind}: [{{source: c, target: {target}}}], volumes: ['data:/data']"
    text = f"services: {{a: {{image: x, {grant}}}}}\n{kind}: {{c: {{file: ./f}}}}\nvolumes: {{data: }}\n"
    return stack_of(text, f="content").services["a"]


@pytest.mark.parametrize("mode", ["-1", "8192"])
def test_a_file_mode_has_its_limits(mode: str) -> None:
    text = f"services: {{a: {{image: x, secrets: [{{source: c, mode: {mode}}}]}}}}\nsecrets: {{c: {{file: f}}}}\n"
    with pytest.raises(ComposeError, match="is not a file mode"):
        stack_of(text, f="content")


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        ("stop_signal: sigint", "stop_signal", "SIGINT"),
        ("stop_signal: SIGRTMIN+3", "stop_signal", "SIGRTMIN+3"),
        ("stop_signal: '15'", "stop_signal", "15"),
        ("cap_drop: [ALL, cap_chown, BPF]", "cap_drop", ("ALL", "cap_chown")),
        ("working_dir: ''", "working_dir", ""),
    ],
)
def test_every_known_word_is_taken(body: str, field: str, value: object) -> None:
    assert getattr(service_of(body), field) == value


def test_a_path_that_only_begins_like_the_kernels_is_free() -> None:
    assert service_of("volumes: ['data:/processed']").volumes[0].target == "/processed"


def test_two_folders_are_two_volumes_and_none_that_is_declared() -> None:
    service = service_of("volumes: ['./a/b:/one', './a-b:/two', 'data:/three']")
    names = [mount.source for mount in service.volumes]
    assert len(set(names)) == 3
    assert all(name.startswith("_") and is_volume(name) for name in names[:2])


def test_no_declared_volume_is_called_like_one_of_ours() -> None:
    with pytest.raises(ComposeError, match="is not a volume's name"):
        stack_of("services: {a: {image: x, volumes: ['_bind-x:/x']}}\nvolumes: {_bind-x: }\n")


def test_a_folder_may_be_called_like_a_remote_repository() -> None:
    text = "services: {a: {build: ./my.git, volumes: ['./repo.git:/x', './a/../repo.git:/y']}}\n"
    files = {"compose.yaml": text.encode(), "repo.git/f": b"", "my.git/Dockerfile": b""}
    service = read(files, "compose.yaml", {}).services["a"]
    assert service.build is not None
    assert service.build.context == "my.git"
    assert [mount.source for mount in service.volumes] == ["repo.git", "repo.git"]


def test_the_grammar_of_each_value() -> None:
    assert is_path("/a/b")
    assert not any(map(is_path, ("", "a", "/", "/a//b", "/a/../b", "/a/.", "/a\0", "/proc", None)))
    assert is_kernels("/proc")
    assert not is_kernels("/process/proc")
    assert is_host("a.b-c")
    assert not any(map(is_host, ("", "a b", "a\n", "-a", "a" * 254, None)))
    assert is_address("::1")
    assert not any(map(is_address, ("host-gateway", "::1%eth0", "", None)))
    assert is_signal("SIGTERM")
    assert not any(map(is_signal, ("", "0", "65", "SIG", "TERM ", None)))


def test_the_longest_duration_is_no_longer_than_the_engine_can_hold() -> None:
    service = service_of("healthcheck: {test: x, timeout: 2562047h47m16.854775807s}")
    assert judged_service(service)["Healthcheck"]["Timeout"] == 2**63 - 1


@pytest.mark.parametrize("body", ["stop_grace_period: '{}s'", "mem_limit: '{}m'", "cpus: '{}'"])
def test_a_number_has_no_more_digits_than_anybody_writes(body: str) -> None:
    with pytest.raises(ComposeError, match=r"is not a|must be a number"):
        service_of(body.format("0" * 300 + "9"))
