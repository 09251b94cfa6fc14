"""Free subnets against a slow and obvious oracle, and what they cost."""

from ipaddress import IPv4Network
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.admission.subnets import free_subnets

POOL = IPv4Network("10.0.0.0/24")


def nets(*texts: str) -> list[IPv4Network]:
    return [IPv4Network(text) for text in texts]


@pytest.mark.parametrize(
    ("taken", "first"),
    [
        ([], "10.0.0.0/28"),
        (["10.0.0.0/28"], "10.0.0.16/28"),
        (["10.0.0.16/28"], "10.0.0.0/28"),
        (["10.0.0.0/25"], "10.0.0.128/28"),
        (["10.0.0.5/32"], "10.0.0.16/28"),
        (["10.0.0.0/28", "10.0.0.5/32", "10.0.0.16/30"], "10.0.0.32/28"),
        (["10.0.0.16/28", "10.0.0.0/28"], "10.0.0.32/28"),
        (["9.0.0.0/8", "11.0.0.0/8"], "10.0.0.0/28"),
    ],
)
def test_the_lowest_comes_first(taken: list[str], first: str) -> None:
    assert next(free_subnets(POOL, 28, nets(*taken))) == IPv4Network(first)


@pytest.mark.parametrize("taken", ["10.0.0.0/24", "10.0.0.0/8", "0.0.0.0/0"])
def test_a_full_pool_has_none(taken: str) -> None:
    assert list(free_subnets(POOL, 28, nets(taken))) == []


def test_every_subnet_of_an_empty_pool() -> None:
    assert list(free_subnets(POOL, 28, [])) == list(POOL.subnets(new_prefix=28))


def test_the_pool_itself_may_be_the_only_subnet() -> None:
    assert list(free_subnets(POOL, 24, [])) == [POOL]


@pytest.mark.parametrize("prefix", [23, 33])
def test_a_prefix_that_the_pool_cannot_have(prefix: int) -> None:
    with pytest.raises(ValueError, match="no subnets"):
        next(free_subnets(POOL, prefix, []))


def test_thousands_of_previews_are_no_work() -> None:
    pool = IPv4Network("10.64.0.0/10")
    taken = list(islice(pool.subnets(new_prefix=28), 5000))
    assert next(free_subnets(pool, 28, reversed(taken))).network_address == pool[5000 * 16]


subnets_anywhere = st.builds(
    lambda address, prefix: IPv4Network((address, prefix), strict=False),
    st.integers(int(POOL.network_address) - 64, int(POOL.broadcast_address) + 64),
    st.integers(23, 32),
)


@given(taken=st.lists(subnets_anywhere, max_size=12), prefix=st.integers(24, 30))
def test_it_agrees_with_trying_every_one(taken: list[IPv4Network], prefix: int) -> None:
    tried = [s for s in POOL.subnets(new_prefix=prefix) if not any(s.overlaps(other) for other in taken)]
    assert list(free_subnets(POOL, prefix, taken)) == tried
