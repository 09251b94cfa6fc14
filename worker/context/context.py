"""What the worker's hands hold: one value, made in `worker.main` and in tests, and handed down."""

from dataclasses import dataclass, field

import httpx

from orchestrator.ports.databases import Databases
from orchestrator.ports.engine import Engine
from orchestrator.ports.forge import Forge
from orchestrator.ports.sources import Sources
from orchestrator.runtime.queue import Queue
from orchestrator.runtime.settings import Settings
from orchestrator.store.encryption import Vault
from orchestrator.store.queries import Views
from orchestrator.store.store import Store
from worker.context.build_slots import Turns
from worker.context.machine import Watched
from worker.context.tasks import Running


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
