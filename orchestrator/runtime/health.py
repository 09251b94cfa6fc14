"""What previewd needs, and what it means when some of that is away: since when, what goes on, what to do. Pure.

The worker looks and records what it finds (`orchestrator.store.health`); /readyz, dashboard and metrics show it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

POSTGRES, REDIS, WORKER = "postgres", "redis", "worker"
"""What the web process itself can tell: the first two it asks, the third it has not seen for a while."""
ENGINE, PREVIEWS_POSTGRES, GITHUB, PROXY, DISK = "engine", "previews-postgres", "github", "proxy", "disk"
"""What only the worker can tell."""

LOOK_SECONDS = 5.0
"""How often a worker looks."""

SILENT = timedelta(seconds=15)
"""A worker that was not seen for so long does not run, or hangs."""

OK = "ok"


class Status(StrEnum):
    """What an installation can do."""

    OK = "ok"
    DEGRADED = "degraded"
    """Pull requests are heard and recorded; some of what they ask for waits."""
    DOWN = "down"
    """Nothing is recorded, or nobody acts on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One thing that previewd cannot do without."""

    title: str
    meanwhile: str
    """What its absence means for previews."""
    remedy: str
    vital: bool = False
    """Without it the installation is down, not only degraded."""


NEEDS: Mapping[str, Need] = {
    POSTGRES: Need(
        title="previewd’s own Postgres",
        meanwhile="Live previews go on. Deliveries are refused with 503; what they said is found when it is back.",
        remedy="Check that it runs and has room on its disk, and PREVIEWD_DATABASE_URL.",
        vital=True,
    ),
    WORKER: Need(
        title="The worker",
        meanwhile="Live previews go on. Pull requests are recorded; nothing is built or removed until a worker runs.",
        remedy="Start “previewd worker”, or read its log.",
        vital=True,
    ),
    ENGINE: Need(
        title="The Docker Engine",
        meanwhile="Containers that run go on if the Engine was told so. Deployments and removals wait for it.",
        remedy="Run “docker info” on the machine; restart the Engine if that hangs.",
    ),
    PREVIEWS_POSTGRES: Need(
        title="The previews’ Postgres",
        meanwhile="Previews with a database answer with errors. Deployments that need one wait.",
        remedy="Check that it runs and has connections and disk left, and PREVIEWD_PREVIEWS_DATABASE_URL.",
    ),
    GITHUB: Need(
        title="GitHub",
        meanwhile="Live previews go on. New commits wait: nothing runs on what nobody could ask GitHub about.",
        remedy="See githubstatus.com, and check that this machine reaches PREVIEWD_GITHUB_API_URL.",
    ),
    PROXY: Need(
        title="The proxy",
        meanwhile="Nobody reaches a preview through it, and no deployment can be proven.",
        remedy="Check that Caddy and the web process run, and PREVIEWD_PROXY_ADDRESS.",
    ),
    REDIS: Need(
        title="Redis",
        meanwhile="Nothing is lost and nothing waits: the worker looks for work once a second.",
        remedy="Check that it runs, and PREVIEWD_REDIS_URL.",
    ),
    DISK: Need(
        title="The disk of previewd’s data",
        meanwhile="Live previews go on. Deployments wait: commits are fetched to this disk.",
        remedy="Make room there, or close pull requests: their files go with them.",
    ),
}
"""By the name under which each is recorded, the most serious first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """What a worker found last. `fault` is empty while all is well, and `since` is when that began."""

    name: str
    fault: str
    since: datetime
    seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """One thing that is away, as people are told."""

    name: str
    fault: str
    since: datetime | None = None
    """None when nobody knows."""

    @property
    def need(self) -> Need:
        return NEEDS[self.name]

    @property
    def told(self) -> str:
        """In one line, for anybody: of what only the worker saw, without its words, which may name hosts and paths."""
        fault = self.fault if self.name in {POSTGRES, REDIS, WORKER} else "is not well"
        since = f" since {self.since:%Y-%m-%d %H:%M:%S} UTC" if self.since else ""
        return f"{fault}{since}: {self.need.remedy}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """All that is away, the most serious first, and whose word of it is known."""

    away: tuple[Away, ...]
    known: tuple[str, ...]
    """Names of which something is known: without a worker nobody knows how the Engine is."""

    @property
    def status(self) -> Status:
        if any(away.need.vital for away in self.away):
            return Status.DOWN
        return Status.DEGRADED if self.away else Status.OK

    def says(self, name: str) -> str:
        """`ok`, or what is wrong with it."""
        return next((away.told for away in self.away if away.name == name), OK)

    def is_up(self, name: str) -> bool:
        return self.says(name) == OK


def health(found: Iterable[Dependency] | None, now: datetime, faults: Mapping[str, str]) -> Health:
    """Put together what workers recorded and what the web process saw by itself (`faults`, empty for what is well).

    `found` is None when the record cannot be read. What a silent worker said last is not believed any more.
    """
    recorded = {one.name: one for one in found or ()}
    since = {one.name: one.since for one in recorded.values() if one.fault}
    away = [Away(name=name, fault=fault, since=since.get(name)) for name, fault in faults.items() if fault]
    known = set(faults)
    if found is not None:
        known.add(WORKER)
        silent = _silence(recorded.get(WORKER), now)
        if silent:
            away.append(silent)
        else:
            fresh = [one for one in recorded.values() if one.name not in known and now - one.seen_at < SILENT]
            known |= {one.name for one in fresh}
            away += [Away(name=one.name, fault=one.fault, since=one.since) for one in fresh if one.fault]
    order = [*NEEDS]
    ours = [one for one in away if one.name in NEEDS]
    return Health(
        away=tuple(sorted(ours, key=lambda one: order.index(one.name))),
        known=tuple(name for name in order if name in known),
    )


def _silence(worker: Dependency | None, now: datetime) -> Away | None:
    if worker is None:
        return Away(name=WORKER, fault="none was ever seen")
    if now - worker.seen_at > SILENT:
        return Away(name=WORKER, fault="none was seen", since=worker.seen_at)
    return None
