"""Small files that grow without end: each is refused, with its place, long before it has grown."""

from collections.abc import Mapping

import pytest

from orchestrator.compose.project.sources import MAX_FILES, MAX_READ, Metered
from orchestrator.compose.services.stack import read
from orchestrator.compose.syntax.dotenv import Dotenv, parse
from orchestrator.preview.errors import ComposeError
from tests.support.endless import ends

SERVICE = "services: {a: {image: x}}\n"
CHAIN = list(zip("abcdefgh", "bcdefghi", strict=True))
WIDE = ", ".join(f"A{index}: 1" for index in range(3000))
MANY = "A=" + "x" * 60_000 + "\n" + "".join(f"B{index}=$A\n" for index in range(20_000))

BOMBS: dict[str, dict[str, str]] = {
    "aliases": {
        "compose.yaml": "x-a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"x-{name}: &{name} [{', '.join(['*' + last] * 9)}]\n" for last, name in CHAIN)
        + SERVICE
    },
    "depth": {"compose.yaml": "x-a: " + "[" * 5_000},
    "bytes": {"compose.yaml": SERVICE + "#" * 300_000},
    "a chain of extends": {
        "compose.yaml": "services:\n"
        + "".join(f"  s{index}: {{extends: s{index + 1}}}\n" for index in range(500))
        + "  s500: {image: x}\n"
    },
    "many extend one": {
        "compose.yaml": f"services:\n  base: {{image: x, environment: {{{WIDE}}}}}\n"
        + "".join(f"  s{index}: {{extends: base}}\n" for index in range(500))
    },
    "includes that double": {
        "compose.yaml": "include: [f0.yaml, f0.yaml]\n" + SERVICE,
        **{f"f{index}.yaml": f"include: [f{index + 1}.yaml, f{index + 1}.yaml]\n" + SERVICE for index in range(30)},
    },
    "one file, included often": {
        "compose.yaml": f"include: [{', '.join(['f.yaml'] * 5_000)}]\n" + SERVICE,
        "f.yaml": f"services: {{z: {{image: x, environment: {{{WIDE}}}}}}}",
    },
    "variables in a value": {
        "compose.yaml": f"services: {{a: {{image: '{' '.join(['$A'] * 3_000)}'}}}}",
        ".env": "A=" + "x" * 10_000,
    },
    "variables in many values": {
        "compose.yaml": f"services: {{a: {{image: x, command: [{', '.join(['$A'] * 5_000)}]}}}}",
        ".env": "A=" + "x" * 60_000,
    },
    "nested defaults": {"compose.yaml": f"services: {{a: {{image: '{'${A:-' * 20_000 + '}' * 20_000}'}}}}"},
    "variables of .env": {"compose.yaml": SERVICE, ".env": MANY},
    "variables of env_file": {"compose.yaml": "services: {a: {image: x, env_file: e}}", "e": MANY},
    "many env_files": {
        "compose.yaml": f"services: {{a: {{image: x, env_file: [{', '.join(f'{n}.env' for n in range(16))}]}}}}",
        **{f"{index}.env": "".join(f"A{index}_{line}=1\n" for line in range(16_000)) for index in range(16)},
    },
    "small env_files without end": {
        "compose.yaml": f"services: {{a: {{image: x, env_file: [{', '.join(f'{n}.env' for n in range(9_000))}]}}}}",
        **{f"{index}.env": "A=1\n" for index in range(9_000)},
    },
    "the same env_files for every service": {
        "compose.yaml": "services:\n" + "".join(f"  s{n}: {{image: x, env_file: [e, f, g, h]}}\n" for n in range(50)),
        **{name: WIDE.replace(", ", "\n").replace("A", name) for name in "efgh"},
    },
    "absent env_files with an example": {
        "compose.yaml": f"services: {{a: {{image: x, env_file: [{', '.join(f'{n}.env' for n in range(9_000))}]}}}}",
        ".env.example": WIDE.replace(", ", "\n"),
    },
    "Compose files that are barely used": {
        "compose.yaml": "services:\n"
        + "".join(f"  s{n}: {{extends: {{file: f{n}.yaml, service: z}}}}\n" for n in range(90)),
        **{f"f{n}.yaml": f"services: {{z: {{image: x}}}}\nx-a: [{'1,' * 5_000}]\n" for n in range(90)},
    },
    "ranges of ports": {
        "compose.yaml": "services: {a: {image: x, ports: ["
        + ", ".join(f"'{index}000-{index}999'" for index in range(1, 60))
        + "]}}"
    },
}


@pytest.mark.parametrize("files", BOMBS.values(), ids=BOMBS)
def test_a_bomb_ends_in_an_error(files: dict[str, str]) -> None:
    with pytest.raises(ComposeError) as caught, ends():
        read({path: text.encode() for path, text in files.items()}, "compose.yaml", {})
    assert caught.value.place.file
    assert caught.value.remedy


def test_a_file_of_variables_is_parsed_once_for_all_services(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []

    def counting(data: bytes, file: str, variables: Mapping[str, str]) -> Dotenv:
        parsed.append(file)
        return parse(data, file, variables)

    monkeypatch.setattr("orchestrator.compose.syntax.dotenv.parse", counting)
    services = "".join(f"  s{index}: {{image: x, env_file: [e, none.env]}}\n" for index in range(20))
    files = {"compose.yaml": f"services:\n{services}", "e": "A=1\n", ".env.example": "B=1\n"}
    read({path: text.encode() for path, text in files.items()}, "compose.yaml", {})
    assert sorted(parsed) == [".env.example", "e"]


def test_no_more_files_are_read_than_a_project_may_need() -> None:
    files = Metered({str(index): b"" for index in range(MAX_FILES + 1)})
    for index in range(MAX_FILES):
        assert files[str(index)] == files[str(index)] == b""
    with pytest.raises(ComposeError, match="more than 100 files"):
        files[str(MAX_FILES)]


def test_no_more_bytes_are_read_than_a_project_may_need() -> None:
    files = Metered({"a": b"x" * MAX_READ, "b": b"x"})
    assert len(files["a"]) == len(files["a"]) == MAX_READ
    with pytest.raises(ComposeError, match="more than 1048576 bytes"):
        files["b"]
