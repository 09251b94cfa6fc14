"""What the worker's hands hold: one value, made in `worker.main` and in tests, and handed down."""

from dataclasses import dataclass, field

import httpx

from orchestrator.ports import Databases, Engine, Forge, Sources
from orchestrator.queue import Queue
from orchestrator.settings import Settings
from orchestrator.store import Store
from orchestrator.vault import Vault
from orchestrator.views import Views
from worker.machine import Watched
from worker.running import Running
from worker.turns import Turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """Everything through which the worker acts."""

    settings: Settings
    store: Store
    views: Views
    vault: Vault
    queue: Queue
    engine: Engine
    databases: Databases
    forge: Forge
    sources: Sources
    proxy: httpx.AsyncClient
    """Speaks to Caddy, whatever host a request names."""
    turns: Turns
    """Who builds, of all previews."""
    running: Running = field(default_factory=Running)
    """What this worker is at."""
    machine: Watched = field(default_factory=Watched)
    """Whose disks and memory limit what begins."""
