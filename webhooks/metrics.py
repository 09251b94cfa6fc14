"""Counters of the web process, and Prometheus' text form of them. They start at nothing with each process."""

import resource
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.preview.state import State
from orchestrator.runtime.health import REDIS, Health

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]
Sample = tuple[Labels, float]


@dataclass(slots=True)
class Metrics:
    """What this process did since it started."""

    started_at: float = field(default_factory=time.time)
    deliveries: Counter[str] = field(default_factory=Counter)
    routed: Counter[str] = field(default_factory=Counter)

    def delivery(self, outcome: str) -> None:
        """Count a delivery: `accepted`, `ignored`, `repeated`, or the status with which it was refused."""
        self.deliveries[outcome] += 1

    def route(self, answer: str) -> None:
        """Count what the router said: `upstream`, `candidate`, `page`, `unknown` or `unavailable`."""
        self.routed[answer] += 1


def exposition(metrics: Metrics, states: Mapping[State, int] | None, health: Health) -> str:
    """The page that Prometheus scrapes. `states` is None when Postgres does not answer."""
    up = {name: int(health.is_up(name)) for name in health.known}
    families = [
        _family("previewd_up_seconds", "gauge", "Seconds since this process started.", _one(_age(metrics))),
        _family("process_resident_memory_bytes", "gauge", "Resident memory.", _one(resident_bytes())),
        _family("previewd_postgres_up", "gauge", "1 when Postgres answers.", _one(states is not None)),
        _family("previewd_redis_up", "gauge", "1 when Redis answers.", _one(health.is_up(REDIS))),
        _family("previewd_dependency_up", "gauge", "1 when what previewd needs is well.", _by("name", up)),
        _family("previewd_deliveries_total", "counter", "Webhook deliveries.", _by("outcome", metrics.deliveries)),
        _family("previewd_routed_total", "counter", "Answers of the router.", _by("answer", metrics.routed)),
    ]
    if states is not None:
        counted = {state.value: states.get(state, 0) for state in State}
        families.append(_family("previewd_previews", "gauge", "Previews, by state.", _by("state", counted)))
    return "".join(families)


def resident_bytes() -> int:
    """This process's resident memory; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * resource.getpagesize()


def _family(name: str, kind: str, description: str, samples: Iterable[Sample]) -> str:
    lines = [f"# HELP {name} {description}", f"# TYPE {name} {kind}"]
    lines += [f"{name}{_labels(labels)} {value:.15g}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _labels(labels: Labels) -> str:
    inner = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f"{{{inner}}}" if inner else ""


def _one(value: float) -> list[Sample]:
    return [({}, float(value))]


def _by(label: str, counts: Mapping[str, int]) -> list[Sample]:
    return [({label: name}, float(count)) for name, count in sorted(counts.items())]


def _age(metrics: Metrics) -> float:
    return time.time() - metrics.started_at
