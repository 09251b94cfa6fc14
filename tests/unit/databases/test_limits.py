"""The rules of the previews' Postgres: what fits, what is full, what lasts too long, how a copy is made."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.databases.connections import Budget
from orchestrator.databases.limits import DatabaseLimits, DatabaseSize, Fill
from orchestrator.databases.sessions import Session, overdue
from orchestrator.databases.templates import can_clone, strategy

MIB = 1 << 20
LIMITS = DatabaseLimits(idle_in_transaction_seconds=10, transaction_seconds=100)


def budget(**granted: int) -> Budget:
    return Budget(max_connections=100, reserved=13, granted=granted, in_use={})


def session(state: str, state_seconds: float, open_seconds: float) -> Session:
    return Session(
        pid=1, role="r", database="d", began=datetime.now(UTC), state=state, state_seconds=state_seconds,
        open_seconds=open_seconds,
    )  # fmt: skip


@given(st.lists(st.integers(1, 40), max_size=20))
def test_what_was_allowed_never_exceeds_what_there_is(wanted: list[int]) -> None:
    granted: dict[str, int] = {}
    for number, connections in enumerate(wanted):
        if budget(**granted).allows(f"r{number}", connections):
            granted[f"r{number}"] = connections
    assert sum(granted.values()) <= 87
    assert all(budget(**granted).allows(role, connections) for role, connections in granted.items())


def test_a_refusal_shows_the_arithmetic() -> None:
    full = budget(a=40, b=40)
    assert not full.allows("c", 20)
    assert full.free == 7
    assert full.refusal(20) == (
        "the previews' Postgres has 87 connections to give (100 less 13 in reserve), 80 of them are promised to 2 "
        "databases, and this one needs 20"
    )


@pytest.mark.parametrize(
    ("share", "fill"),
    [(0, Fill.FINE), (80, Fill.FINE), (81, Fill.NEAR), (100, Fill.NEAR), (101, Fill.READ_ONLY), (125, Fill.SHUT)],
)
def test_how_full_a_database_is(share: int, fill: Fill) -> None:
    assert DatabaseSize(name="d", bytes=share, limit=100).fill is fill


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (session("idle", 1000, 1000), None),
        (session("active", 50, 50), None),
        (session("idle in transaction", 9, 50), None),
        (session("idle in transaction", 11, 50), "idle in transaction for 11 s"),
        (session("idle in transaction (aborted)", 11, 11), "idle in transaction for 11 s"),
        (session("active", 0, 101), "one transaction or statement for 101 s"),
        (session("idle in transaction", 0, 101), "one transaction or statement for 101 s"),
    ],
)
def test_what_lasts_too_long(found: Session, reason: str | None) -> None:
    assert overdue(found, LIMITS) == reason


def test_how_a_copy_is_made() -> None:
    assert [strategy(size) for size in (8 * MIB, 64 * MIB, 65 * MIB)] == ["wal_log", "wal_log", "file_copy"]
    assert [can_clone(major) for major in (15, 17, 18)] == [False, False, True]
