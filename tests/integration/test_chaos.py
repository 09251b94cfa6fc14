"""A small storm through the code of `make chaos`, and its parts that decide."""

import pytest

from orchestrator.preview.state import State
from tests.chaos.apps import Change, Fate
from tests.chaos.script import Verb, scripts
from tests.chaos.stage import Stage
from tests.chaos.storm import LOST, Plan, Storm
from tests.chaos.truth import Seen, Told, faults
from tests.forge import Forge

CHANGES = {"a" * 40: Change(answer="a"), "b" * 40: Change(answer="b", fate=Fate.DYING)}


@pytest.mark.docker
@pytest.mark.timeout(500)
async def test_a_worker_and_redis_die_in_a_small_storm_and_nothing_is_lost_or_leaked() -> None:
    plan = Plan(
        seed=7, cycles=8, staying=2, at_once=8, torments=("worker killed", "redis killed"), without=(LOST,),
        quiet_seconds=90,
    )  # fmt: skip
    with Forge() as forge:
        async with Stage(forge) as stage:
            outcome = await Storm(plan, forge, stage).rage()
    assert outcome.open_ones.all() + outcome.closed.all() == []
    assert outcome.is_well, (outcome.bystander, outcome.resumes)
    assert outcome.cycles >= plan.cycles
    assert outcome.torments == {"worker killed": 1, "redis killed": 1}


def test_the_same_seed_gives_the_same_lives() -> None:
    assert scripts(3, 40, staying=4) == scripts(3, 40, staying=4) != scripts(4, 40, staying=4)


def test_lives_are_whole_and_as_many_as_asked_for() -> None:
    written = scripts(1, 500, staying=8)
    assert sum(script.cycles for script in written) >= 500
    for script in written:
        verbs = [act.verb for act in script.acts]
        assert verbs[0] is Verb.OPEN
        for opened in (place for place, verb in enumerate(verbs) if verb in (Verb.OPEN, Verb.REOPEN)):
            assert verbs[opened + 1] in (Verb.PUSH, Verb.REWRITE), "each is pushed to before it is closed"
    assert sum(script.acts[-1].verb is not Verb.CLOSE for script in written) == 8


def told(**values: object) -> Told:
    usual = {"is_open": True, "is_draft": False, "by_stranger": False, "head": "a" * 40, "changes": CHANGES}
    return Told(**(usual | values))  # type: ignore[arg-type]


def seen(**values: object) -> Seen:
    usual = {
        "state": State.READY, "commit": "a" * 40, "reason": "", "is_settled": True, "host": "h",
        "serving_commit": "a" * 40, "serving_upstream": "10.0.0.2:8000", "serving_containers": ("c",),
    }  # fmt: skip
    return Seen(**(usual | values))  # type: ignore[arg-type]


REMOVED = {"state": State.REMOVED, "commit": None, "serving_commit": None, "serving_containers": ()}


@pytest.mark.parametrize(
    ("github", "table"),
    [
        ({}, {}),
        ({"is_open": False}, REMOVED),
        ({"is_draft": True}, {"state": State.WAITING, "reason": "it is a draft"}),
        ({"by_stranger": True}, {"state": State.WAITING, "reason": "no write access"}),
        ({"head": "b" * 40}, {"state": State.FAILED, "commit": "b" * 40, "reason": "service app does not run"}),
    ],
)
def test_what_ended_right(github: dict[str, object], table: dict[str, object]) -> None:
    assert faults(told(**github), seen(**table)) == []


@pytest.mark.parametrize(
    ("github", "table", "word"),
    [
        ({}, {"serving_commit": "b" * 40}, "serves"),
        ({}, {"commit": "b" * 40}, "its head is"),
        ({}, {"is_settled": False}, "still something"),
        ({"is_open": False}, {}, "should be removed"),
        ({"is_open": False}, REMOVED | {"serving_containers": ("c",)}, "said to serve"),
        ({"head": "b" * 40}, {}, "should be failed"),
        ({"head": "b" * 40}, {"state": State.FAILED, "commit": "b" * 40, "reason": "no space"}, "another reason"),
        ({"is_draft": True}, {"state": State.WAITING, "reason": "the fork"}, "another reason"),
    ],
)
def test_what_ended_wrong(github: dict[str, object], table: dict[str, object], word: str) -> None:
    assert any(word in fault for fault in faults(told(**github), seen(**table)))


def test_a_pull_request_that_nobody_heard_of_is_lost_while_it_is_open() -> None:
    assert faults(told(), None)
    assert faults(told(is_open=False), None) == []
