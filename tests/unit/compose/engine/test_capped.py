"""What a file asks for beyond the operator's limits is told, with its line, what it asks and what it gets."""

import pytest

from orchestrator.compose.engine.capped import capped
from orchestrator.compose.engine.request import ServiceLimits
from orchestrator.compose.syntax.casts import size_text
from tests.unit.compose.support import stack_of

LIMITS = ServiceLimits(memory_bytes=512 << 20, cpus=1.5, pids=200)


def _notes(line: str) -> tuple[str, ...]:
    return capped(stack_of(f"services:\n  a:\n    image: x\n    {line}\n"), LIMITS)


@pytest.mark.parametrize(
    ("line", "note"),
    [
        ("mem_limit: 2g", "compose.yaml:4:16 services.a.mem_limit: `mem_limit` is taken as 512m, not 2g: "),
        ("mem_limit: -1", "`mem_limit` is taken as 512m, not without a limit: "),
        ("cpus: 0", "`cpus` is taken as 1.5, not without a limit: "),
        ("cpus: 4", "compose.yaml:4:11 services.a.cpus: `cpus` is taken as 1.5, not 4: "),
        ("pids_limit: 1000", "`pids_limit` is taken as 200, not 1000: "),
        ("deploy: {resources: {limits: {memory: 1g}}}", "limits.memory: `memory` is taken as 512m, not 1g: "),
        ("deploy: {resources: {limits: {cpus: '8'}}}", "limits.cpus: `cpus` is taken as 1.5, not 8: "),
        ("deploy: {resources: {limits: {pids: 500}}}", "limits.pids: `pids` is taken as 200, not 500: "),
    ],
)
def test_more_than_there_is_is_told(line: str, note: str) -> None:
    notes = _notes(line)
    assert len(notes) == 1
    assert note in notes[0]


@pytest.mark.parametrize("line", ["mem_limit: 512m", "cpus: 1.5", "pids_limit: 200", "user: u"])
def test_what_is_there_is_not_worth_a_word(line: str) -> None:
    assert _notes(line) == ()


def test_a_size_is_told_as_it_is_written() -> None:
    assert [size_text(octets) for octets in (1 << 30, 1536 << 20, 1000, 64 << 10)] == ["1g", "1536m", "1000", "64k"]
