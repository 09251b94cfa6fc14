"""When previews' people are told what they use, and in which words."""

from datetime import UTC, datetime

import pytest

from orchestrator.databases.limits import Fill
from orchestrator.databases.usage import DatabaseUse, connections_sentence, is_crowded, size_sentence
from orchestrator.runtime.units import size_told

GIB = 1 << 30


def use(*, share: float = 0.1, connections: int = 1, is_crowded: bool = False) -> DatabaseUse:
    return DatabaseUse(
        bytes=round(2 * GIB * share),
        limit_bytes=2 * GIB,
        connections=connections,
        connection_limit=20,
        is_crowded=is_crowded,
        ended="",
        ended_at=None,
        measured_at=datetime(2026, 11, 22, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("share", "fill", "words"),
    [
        (0.5, Fill.FINE, ""),
        (0.85, Fill.NEAR, "takes 1.7 GiB of 2 GiB. From 2 GiB on it is read-only, from 2.5 GiB on it is closed"),
        (1.05, Fill.READ_ONLY, "takes 2.1 GiB of 2 GiB and is read-only; from 2.5 GiB on it is closed"),
        (1.25, Fill.SHUT, "takes 2.5 GiB of 2 GiB and is closed"),
    ],
)
def test_the_size_is_told_before_it_has_effects(share: float, fill: Fill, words: str) -> None:
    found = use(share=share)
    assert found.fill is fill
    assert words in size_sentence(found)
    assert bool(size_sentence(found)) is bool(words)


def test_the_arithmetic_is_told_when_connections_run_out() -> None:
    assert connections_sentence(use(connections=3)) == ""
    assert "18 of the 20" in connections_sentence(use(connections=18, is_crowded=True))
    assert "(pool_size + max_overflow) × workers is at most 20" in connections_sentence(use(is_crowded=True))


def test_a_pool_that_breathes_does_not_edit_comments() -> None:
    was, changes = False, 0
    for connections in (15, 16, 15, 16, 13, 16, 12, 11, 12):
        now = is_crowded(connections, 20, was=was)
        changes += now is not was
        was = now
    assert (changes, was) == (2, False)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (2 * GIB, "2 GiB"), (5 << 50, "5120 TiB")],
)
def test_sizes(number: int, text: str) -> None:
    assert size_told(number) == text
