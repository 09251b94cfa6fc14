"""What the pages show: bars, blocks of a log, links."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.preview.records import Deployment, LogLine, StepTimes, Wiring
from orchestrator.preview.state import Step
from orchestrator.reporting.text import clean
from webhooks.dashboard import present

START = datetime(2026, 11, 21, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def deployment(steps: list[tuple[Step, float, float | None]], finished: float | None) -> Deployment:
    return Deployment(
        id=1,
        generation=1,
        commit="a" * 40,
        outcome=None if finished is None else "failed",
        failed_step=None if finished is None else steps[-1][0],
        reason="",
        remedy="",
        log_tail=(),
        wiring=Wiring(),
        notes=(),
        started_at=START,
        finished_at=None if finished is None else at(finished),
        steps=tuple(
            StepTimes(step=step, started_at=at(begin), finished_at=None if end is None else at(end))
            for step, begin, end in steps
        ),
    )


def test_bars_lie_where_their_steps_were() -> None:
    source, build = present.bars(deployment([(Step.SOURCE, 0, 2.5), (Step.BUILD, 2.5, None)], 10), at(99))
    assert (source.offset, source.width, source.seconds, source.failed) == (0, 25, "2.5 s", False)
    assert (build.offset, build.width, build.seconds, build.failed) == (25, 75, "7.5 s", True)


def test_a_running_step_reaches_to_now() -> None:
    [bar] = present.bars(deployment([(Step.SOURCE, 0, None)], None), at(4))
    assert (bar.width, bar.running) == (100, True)


@pytest.mark.parametrize("now", [-5, 0, 1e-9, 1e9])
def test_bars_stay_inside_whatever_the_clocks_say(now: float) -> None:
    strange = deployment([(Step.SOURCE, -3, -2), (Step.BUILD, 5, None), (Step.LAUNCH, 1e8, 0)], None)
    for bar in present.bars(strange, at(now)):
        assert 0 <= bar.offset < 100
        assert bar.width > 0
        assert bar.offset + bar.width <= 100.01


@pytest.mark.parametrize(
    ("api", "web"),
    [
        ("https://api.github.com", "https://github.com"),
        ("https://git.example.com/api/v3", "https://git.example.com"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
    ],
)
def test_where_people_read_what_the_api_serves(api: str, web: str) -> None:
    assert present.forge_web(api) == web


@pytest.mark.parametrize(
    ("text", "tone"),
    [
        ("#5 [2/4] RUN pip install .", "begins"),
        ("#5 \x1b[32mCollecting\x1b[0m fastapi", ""),
        ("#5 CACHED", "soft"),
        ("#5 DONE 1.2s", "soft"),
        ("#5 DONE with it", ""),
        ("#5 ERROR: exit code 1", "bad"),
        ("#5 WARN: a secret in ENV", "wait"),
    ],
)
def test_the_steps_of_a_build_are_seen_at_a_glance(text: str, tone: str) -> None:
    line = LogLine(id=1, step=Step.BUILD, line=text, at=START)
    assert present.blocks([line]) == [("build", clean(text), tone)]
    assert present.blocks([replace(line, step=Step.LAUNCH)]) == [("launch", clean(text), "")]
