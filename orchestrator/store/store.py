"""All writes to previewd's own Postgres, by topic. Made by composition roots; reading for people is in `queries`.

What is written of one preview by whoever acts on it goes through a `Claim`. The rest is a single statement each, which
any process may send: a delivery recorded, a generation raised, what was measured.
"""

from dataclasses import dataclass
from typing import Self

from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.store.backups import Backups
from orchestrator.store.claims import Claims
from orchestrator.store.deliveries import Deliveries
from orchestrator.store.deployments import Logs
from orchestrator.store.generations import Generations
from orchestrator.store.health import DependencyHealth
from orchestrator.store.known import KnownPreviews
from orchestrator.store.leaks import Leaks
from orchestrator.store.line import Line
from orchestrator.store.reports import Reports
from orchestrator.store.subnets import Subnets
from orchestrator.store.sweep import Sweep
from orchestrator.store.templates import Templates
from orchestrator.store.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """One database, topic by topic."""

    backups: Backups
    claims: Claims
    deliveries: Deliveries
    generations: Generations
    health: DependencyHealth
    known: KnownPreviews
    leaks: Leaks
    line: Line
    logs: Logs
    reports: Reports
    subnets: Subnets
    sweep: Sweep
    templates: Templates
    usage: Usage

    @classmethod
    def of(cls, engine: AsyncEngine) -> Self:
        """The store in the database that `engine` leads to."""
        return cls(
            backups=Backups(engine),
            claims=Claims(engine),
            deliveries=Deliveries(engine),
            generations=Generations(engine),
            health=DependencyHealth(engine),
            known=KnownPreviews(engine),
            leaks=Leaks(engine),
            line=Line(engine),
            logs=Logs(engine),
            reports=Reports(engine),
            subnets=Subnets(engine),
            sweep=Sweep(engine),
            templates=Templates(engine),
            usage=Usage(engine),
        )
