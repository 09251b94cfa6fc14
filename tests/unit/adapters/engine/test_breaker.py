"""The circuit breaker: one unanswered call is enough, and one answered probe."""

import asyncio
from types import SimpleNamespace

import pytest

from orchestrator.adapters.engine.breaker import Breaker
from orchestrator.preview.errors import OperatorError, PreviewdError, Unavailable


class Other:
    """The other side, which answers probes or does not."""

    def __init__(self) -> None:
        self.error: PreviewdError | None = None
        self.asked = 0
        self.breaker = Breaker("the Engine", self.probe)

    async def probe(self) -> None:
        self.asked += 1
        if self.error is not None:
            raise self.error


@pytest.fixture
def other() -> Other:
    return Other()


async def test_nobody_is_probed_while_all_is_well(other: Other) -> None:
    await other.breaker.admit()
    assert other.asked == 0


async def test_a_doubted_one_that_answers_is_called_again(other: Other) -> None:
    other.breaker.doubt()
    await other.breaker.admit()
    await other.breaker.admit()
    assert other.asked == 1


async def test_one_that_hangs_is_probed_once_for_all_and_says_since_when(other: Other) -> None:
    other.error = Unavailable("a ping is not answered")
    other.breaker.doubt()
    calls = await asyncio.gather(*(other.breaker.admit() for _ in range(20)), return_exceptions=True)
    assert {type(call) for call in calls} == {Unavailable}
    assert {str(call) for call in calls} == {str(calls[0])}
    assert "the Engine does not answer since " in str(calls[0])
    assert other.asked == 1
    with pytest.raises(Unavailable):
        other.breaker.require()


async def test_it_heals_with_the_next_probe(other: Other, monkeypatch: pytest.MonkeyPatch) -> None:
    other.error = Unavailable("a ping is not answered")
    with pytest.raises(Unavailable):
        await other.breaker.probe()
    other.error = None
    with pytest.raises(Unavailable):
        await other.breaker.admit()  # the next probe is not due yet
    monkeypatch.setattr("orchestrator.adapters.engine.breaker.time", SimpleNamespace(monotonic=lambda: float("inf")))
    await other.breaker.admit()
    other.breaker.require()


async def test_one_that_refuses_us_is_not_away(other: Other) -> None:
    other.error = OperatorError("we may not use its socket")
    other.breaker.doubt()
    with pytest.raises(OperatorError):
        await other.breaker.admit()
    other.breaker.require()
