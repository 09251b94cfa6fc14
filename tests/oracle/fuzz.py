"""Generated Compose projects, read by Compose and by us. `python -m tests.oracle.fuzz --minutes 10` runs for long.

One call of the binary reads many services: each of those that we accept becomes a service of one project. Those that
we refuse are held against the binary one by one, because one of them would hide the others. A disagreement is reported
with the fewest keys that still show it.
"""

import argparse
import json
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.oracle.compare import differences, disagreement, normalised, ours, theirs
from tests.oracle.grammar import SERVICES

EXAMPLES = 2_000
"""Generated services in one run of the tests."""
BATCH = 40
_REST = {"b": {"image": "y"}}
_SECTIONS: Mapping[str, Any] = {
    "volumes": {"data": None, "other": {"driver": "local"}},
    "networks": {"front": None, "back": {"internal": True}},
    "secrets": {"pass": {"file": "./secret.txt"}, "from_variable": {"environment": "FOO"}},
    "configs": {"conf": {"content": "x ${FOO}"}},
}
_FILES: Mapping[str, str] = {"one.env": "ONE=1\nREF=${FOO}\n", "two.env": "TWO='2'\n", "secret.txt": "s", "odd": ""}


def examine(examples: int, *, start: int = 0) -> int:
    """Generates batches until that many services were compared. Fails with the smallest that is read differently."""
    counted = 0

    @seed(start)
    @settings(
        max_examples=-(-examples // BATCH),
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(SERVICES, min_size=BATCH, max_size=BATCH))
    def batch(services: list[dict[str, Any]]) -> None:
        nonlocal counted
        counted += len(services)
        compare(services)

    batch()
    return counted


def compare(services: list[dict[str, Any]]) -> None:
    """Holds services against the binary: those that we accept at once, the others each on its own."""
    refused = [service for service in services if ours(project({"a": service})).value is None]
    accepted = {f"a{index}": service for index, service in enumerate(services) if service not in refused}
    _compare_apart(refused)
    if accepted:
        _compare_together(accepted)


def project(services: Mapping[str, Any]) -> Mapping[str, str]:
    """A project of these services, and of what they may refer to."""
    return {**_FILES, "compose.yaml": json.dumps({"services": {**services, **_REST}, **_SECTIONS})}


def _compare_together(services: Mapping[str, Any]) -> None:
    files = project(services)
    mine, real = ours(files), theirs(files)
    if mine.value is None or real.value is None:
        _compare_apart(list(services.values()))
        return
    if any(differences(normalised(mine.value), normalised(real.value))):
        _compare_apart(list(services.values()))


def _compare_apart(services: list[dict[str, Any]]) -> None:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(disagreement, (project({"a": service}) for service in services))
    for service, text in zip(services, found, strict=True):
        assert not text, f"{json.dumps(smallest(service))}\n{text}"


def smallest(service: dict[str, Any]) -> dict[str, Any]:
    """The service without every key that the disagreement does not need."""
    for key in service:
        less = {name: value for name, value in service.items() if name != key}
        if disagreement(project({"a": less})):
            return smallest(less)
    return service


def main() -> None:
    """Runs for as long as asked for, with new seeds each time."""
    parser = argparse.ArgumentParser(prog="python -m tests.oracle.fuzz")
    parser.add_argument("--minutes", type=float, default=1.0)
    minutes: float = parser.parse_args().minutes
    end = time.monotonic() + 60 * minutes
    counted, start = 0, time.time_ns()
    while time.monotonic() < end:
        counted += examine(10 * BATCH, start=start)
        start += 1
        print(f"{counted} generated services, all read as Compose reads them", flush=True)


if __name__ == "__main__":
    main()
