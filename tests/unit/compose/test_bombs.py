"""Small files that grow without end: each is refused, with its place, long before it has grown."""

import time

import pytest

from orchestrator.compose.read import read
from orchestrator.errors import ComposeError

SERVICE = "services: {a: {image: x}}\n"
CHAIN = list(zip("abcdefgh", "bcdefghi", strict=True))
WIDE = ", ".join(f"A{index}: 1" for index in range(3000))
MANY = "A=" + "x" * 60_000 + "\n" + "".join(f"B{index}=$A\n" for index in range(20_000))
MOST_SECONDS = 5.0
"""Each of them would take minutes, or all of the memory: this only tells the two apart, on any machine."""

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
    "ranges of ports": {
        "compose.yaml": "services: {a: {image: x, ports: ["
        + ", ".join(f"'{index}000-{index}999'" for index in range(1, 60))
        + "]}}"
    },
}


@pytest.mark.parametrize("files", BOMBS.values(), ids=BOMBS)
def test_a_bomb_ends_in_an_error(files: dict[str, str]) -> None:
    started = time.process_time()
    with pytest.raises(ComposeError) as caught:
        read({path: text.encode() for path, text in files.items()}, "compose.yaml", {})
    assert time.process_time() - started < MOST_SECONDS
    assert caught.value.place.file
    assert caught.value.remedy
