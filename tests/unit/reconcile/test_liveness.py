"""Whether what serves stands: a table of what the Engine may say."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.ports.engine import ContainerStatus
from orchestrator.preview.records import Serving
from orchestrator.reconcile.liveness import failure_of

START = datetime(2026, 1, 1, tzinfo=UTC)
SERVING = Serving(
    upstream="10.213.0.2:8000",
    routed="app:8000",
    containers=frozenset({"app", "worker", "migrate"}),
    running=frozenset({"app", "worker"}),
)


def status(name: str, /, **said: Any) -> ContainerStatus:
    given: dict[str, Any] = {
        "id": name,
        "name": name,
        "labels": {"dev.previewd.service": name},
        "image": "i",
        "running": True,
        "exit_code": None,
        "started": True,
        "created_at": START,
        "started_at": START,
    }
    return ContainerStatus(**given | said)


def ended(name: str, code: int, after: timedelta = timedelta(hours=1), **said: Any) -> ContainerStatus:
    return status(name, running=False, exit_code=code, finished_at=START + after, **said)


APP = status("app", addresses={"net": "10.213.0.2"})
WORKER = status("worker", addresses={"net": "10.213.0.3"})
MIGRATE = ended("migrate", 0, timedelta(seconds=2))
WELL: Mapping[str, ContainerStatus | None] = {"app": APP, "worker": WORKER, "migrate": MIGRATE}


def fallen(changed: Mapping[str, ContainerStatus | None], serving: Serving = SERVING) -> Any:
    present = [status for status in {**WELL, **changed}.values() if status is not None]
    return failure_of(serving, present, 64 << 20)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"migrate": ended("migrate", 1)},  # nobody requires it: it had failed when this began to serve
        {"worker": ended("worker", 0)},  # a job that was still at it, and is done
        {"worker": status("worker", running=False, restarting=True)},  # the Engine looks after it
        {"another": ended("another", 1)},  # not one that serves
    ],
)
def test_it_stands(changed: dict[str, ContainerStatus]) -> None:
    assert fallen(changed) is None


@pytest.mark.parametrize(
    ("changed", "reason", "facts"),
    [
        ({"app": None}, "the container app was removed by somebody", (True, False, False)),
        ({"app": ended("app", 1)}, "service app exited with code 1", (True, True, False)),
        ({"app": ended("app", 1, timedelta(seconds=9))}, "service app exited with code 1", (True, True, True)),
        ({"app": ended("app", 0)}, "service app exited with code 0", (True, False, False)),
        ({"app": ended("app", 0, timedelta(seconds=9))}, "service app exited with code 0", (True, True, True)),
        ({"app": ended("app", 137)}, "service app exited with code 137", (True, False, False)),
        ({"app": ended("app", 255)}, "service app exited with code 255", (True, False, False)),
        (
            {"app": ended("app", 137, oom_killed=True)},
            "service app ran out of memory: the limit is 64 MiB",
            (True, True, False),
        ),
        (
            {"app": status("app", addresses={"net": "10.213.0.9"})},
            "service app does not have the address any more to which visitors are led",
            (True, False, False),
        ),
        (  # two that came back and changed places
            {
                "app": status("app", addresses={"net": "10.213.0.3"}),
                "worker": status("worker", addresses={"net": "10.213.0.2"}),
            },
            "service app does not have the address any more to which visitors are led",
            (True, False, False),
        ),
        ({"worker": None}, "the container worker was removed by somebody", (False, False, False)),
        ({"worker": ended("worker", 2)}, "service worker exited with code 2", (False, True, False)),
        ({"migrate": None}, "the container migrate was removed by somebody", (False, False, False)),
        (  # the Engine was stopped: it ended well, but not because its work was done
            {
                "app": status("app", addresses={"net": "10.213.0.2"}, finished_at=START + timedelta(hours=1)),
                "worker": ended("worker", 0, timedelta(hours=1, seconds=3)),
            },
            "service worker exited with code 0",
            (False, False, False),
        ),
    ],
)
def test_it_has_fallen(changed: dict[str, ContainerStatus | None], reason: str, facts: tuple[bool, bool, bool]) -> None:
    found = fallen(changed)
    assert (found.reason, (found.is_routed, found.by_itself, found.soon)) == (reason, facts)


def test_what_is_led_nowhere_has_fallen() -> None:
    hidden = Serving(upstream=None, routed="app:8000", containers=SERVING.containers, running=SERVING.running)
    assert fallen({}, hidden).is_routed


def test_what_serves_since_before_that_was_recorded_is_known_by_its_address() -> None:
    older = Serving(upstream="10.213.0.2:8000", routed="", containers=frozenset({"app"}), running=frozenset())
    assert fallen({}, older) is None
    assert fallen({"app": status("app", addresses={"net": "10.213.0.9"})}, older).is_routed


def test_nothing_that_serves_has_not_fallen() -> None:
    assert fallen({}, Serving(upstream=None, routed="", containers=frozenset(), running=frozenset())) is None
