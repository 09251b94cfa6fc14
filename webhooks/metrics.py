"""What the web process counts, and the page that Prometheus scrapes. Counters start at nothing with each process.

prometheus_client writes it; that costs 0.7 MiB of the 87 that this process has resident. Its own counters and registry
are not used: a page tells what is known when it is asked for, and nothing is kept for those that were.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import PROCESS_COLLECTOR, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from orchestrator.preview.state import State
from orchestrator.runtime.health import REDIS, Health


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


@dataclass(frozen=True, slots=True)
class _Scrape:
    """All families of one scrape."""

    metrics: Metrics
    states: Mapping[State, int] | None
    health: Health

    def collect(self) -> Iterator[Metric]:
        age = time.time() - self.metrics.started_at
        yield GaugeMetricFamily("previewd_up_seconds", "Seconds since this process started.", age)
        yield from PROCESS_COLLECTOR.collect()
        yield GaugeMetricFamily("previewd_postgres_up", "1 when Postgres answers.", self.states is not None)
        yield GaugeMetricFamily("previewd_redis_up", "1 when Redis answers.", self.health.is_up(REDIS))
        up = GaugeMetricFamily("previewd_dependency_up", "1 when what previewd needs is well.", labels=["name"])
        yield _filled(up, {name: self.health.is_up(name) for name in self.health.known})
        deliveries = CounterMetricFamily("previewd_deliveries", "Webhook deliveries.", labels=["outcome"])
        yield _filled(deliveries, self.metrics.deliveries)
        routed = CounterMetricFamily("previewd_routed", "Answers of the router.", labels=["answer"])
        yield _filled(routed, self.metrics.routed)
        if self.states is not None:
            previews = GaugeMetricFamily("previewd_previews", "Previews, by state.", labels=["state"])
            yield _filled(previews, {state.value: self.states.get(state, 0) for state in State})


def exposition(metrics: Metrics, states: Mapping[State, int] | None, health: Health) -> bytes:
    """The page that Prometheus scrapes. `states` is None when Postgres does not answer."""
    return generate_latest(_Scrape(metrics, states, health))


def _filled(family: GaugeMetricFamily | CounterMetricFamily, counts: Mapping[str, int]) -> Metric:
    for label, count in sorted(counts.items()):
        family.add_metric([label], count)
    return family
