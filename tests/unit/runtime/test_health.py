from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.runtime.health import DISK, ENGINE, NEEDS, POSTGRES, REDIS, SILENT, WORKER, Dependency, Status, health

NOW = datetime(2026, 1, 1, 12, 0, 5, tzinfo=UTC)
WELL = {POSTGRES: "", REDIS: ""}


def seen(name: str, fault: str = "", ago: float = 1) -> Dependency:
    return Dependency(name=name, fault=fault, since=NOW - timedelta(minutes=5), seen_at=NOW - timedelta(seconds=ago))


def test_all_is_well_when_a_worker_was_seen_and_finds_nothing() -> None:
    found = health([seen(WORKER), seen(ENGINE)], NOW, WELL)
    assert (found.status, found.away) == (Status.OK, ())
    assert found.known == (POSTGRES, WORKER, ENGINE, REDIS)
    assert found.says(ENGINE) == "ok"


@pytest.mark.parametrize("name", [name for name, need in NEEDS.items() if not need.vital and name != REDIS])
def test_what_a_worker_misses_degrades_and_is_told_without_its_words(name: str) -> None:
    found = health([seen(WORKER), seen(name, "/srv/secret-path is full")], NOW, WELL)
    assert found.status is Status.DEGRADED
    assert found.says(name) == f"is not well since 2026-01-01 11:55:05 UTC: {NEEDS[name].remedy}"
    assert [away.fault for away in found.away] == ["/srv/secret-path is full"]


def test_redis_away_takes_nothing_down() -> None:
    found = health([seen(WORKER), seen(REDIS, "it does not answer")], NOW, WELL | {REDIS: "does not answer"})
    assert found.status is Status.DEGRADED
    assert found.says(REDIS).startswith("does not answer since 2026-01-01 11:55:05 UTC: ")
    assert len(found.away) == 1


def test_without_a_worker_nobody_knows_how_the_rest_is() -> None:
    silence = SILENT.total_seconds() + 1
    found = health([seen(WORKER, ago=silence), seen(ENGINE, "hangs", ago=silence)], NOW, WELL)
    assert found.status is Status.DOWN
    assert found.says(WORKER).startswith("none was seen since 2026-01-01 11:59:49 UTC")
    assert ENGINE not in found.known
    assert health([], NOW, WELL).says(WORKER).startswith("none was ever seen")


def test_without_postgres_nothing_is_known_of_workers() -> None:
    found = health(None, NOW, {POSTGRES: "does not answer", REDIS: ""})
    assert found.status is Status.DOWN
    assert WORKER not in found.known


def test_the_most_serious_comes_first() -> None:
    found = health([seen(DISK, "full"), seen(ENGINE, "hangs"), seen(WORKER)], NOW, WELL | {REDIS: "does not answer"})
    assert [away.name for away in found.away] == [ENGINE, REDIS, DISK]


def test_every_need_says_what_it_means_and_what_to_do() -> None:
    for need in NEEDS.values():
        assert need.title
        assert need.meanwhile.endswith(".")
        assert need.remedy.endswith(".")
