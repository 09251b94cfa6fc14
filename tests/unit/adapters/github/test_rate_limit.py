"""How often the forge is written to: never more than both windows allow, and with room for what is final."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.adapters.github.rate_limit import WINDOWS, RateLimit, Window


def test_the_limits_are_githubs() -> None:
    assert (Window(60, 80), Window(3600, 500)) == WINDOWS


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=60))
def test_no_window_ever_holds_more_than_it_may(wishes: list[tuple[float, bool]]) -> None:
    windows = (Window(10, 4), Window(60, 10))
    pace, now, written = RateLimit(windows), 0.0, list[tuple[float, bool]]()
    for pause, final in wishes:
        now += pause
        if pace.delay(now, final=final) == 0:
            pace.note(now)
            written.append((now, final))
    for count, (end, final) in enumerate(written, start=1):
        for window in windows:
            within = [at for at, _ in written[:count] if at > end - window.seconds]
            assert len(within) <= (window.most if final else window.most // 2)


@given(st.lists(st.integers(0, 5), max_size=40), st.booleans())
def test_after_the_delay_there_is_room_and_not_before(pauses: list[float], final: bool) -> None:
    pace, now = RateLimit((Window(10, 4), Window(60, 10))), 0.0
    for pause in pauses:
        now += pause
        delay = pace.delay(now, final=final)
        assert pace.delay(now + delay + 0.001, final=final) == 0
        if delay > 0.01:
            assert pace.delay(now + delay - 0.01, final=final) > 0
        else:
            pace.note(now)


def test_progress_leaves_room_for_how_it_ended() -> None:
    pace = RateLimit((Window(60, 4),))
    pace.note(0)
    pace.note(1)
    assert pace.delay(10, final=False) == 50
    assert pace.delay(10, final=True) == 0


def test_five_hundred_pull_requests_are_all_told_of_within_the_hour() -> None:
    pace, now = RateLimit(), 0.0
    for _ in range(500):
        now += pace.delay(now, final=True)
        pace.note(now)
        now += 0.001
    assert now < 3600
    assert pace.delay(now, final=True) > 2900
