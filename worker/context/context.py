"""All that the worker acts through: one value, made in `worker.main` and in tests, and handed down."""

from dataclasses import dataclass, field

import httpx

from orchestrator.ports.databases import Databases
from orchestrator.ports.engine import Engine
from orchestrator.ports.forge import Forge
from orchestrator.ports.sources import Sources
from orchestrator.preview.names import Names
from orchestrator.preview.state import PreviewId
from orchestrator.runtime.queue import Queue
from orchestrator.runtime.settings import Settings
from orchestrator.store.encryption import Encryption
from orchestrator.store.queries import Queries
from orchestrator.store.store import Store
from worker.context.build_slots import BuildSlots
from worker.context.machine import WatchedMachine
from worker.context.tasks import Tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerContext:
    """Everything through which the worker acts."""

    settings: Settings
    store: Store
    queries: Queries
    encryption: Encryption
    queue: Queue
    engine: Engine
    databases: Databases
    forge: Forge
    sources: Sources
    proxy: httpx.AsyncClient
    """Speaks to Caddy, whatever host a request names."""
    build_slots: BuildSlots
    """Who builds, of all previews."""
    tasks: Tasks = field(default_factory=Tasks)
    """What this worker is at."""
    machine: WatchedMachine = field(default_factory=WatchedMachine)
    """Whose disks and memory limit what begins."""

    def names(self, preview: PreviewId) -> Names:
        """Everything that is called after a preview."""
        return Names(instance=self.settings.instance, preview=preview)
