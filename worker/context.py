"""What the worker's hands hold: one value, made in `worker.main` and in tests, and handed down."""

import asyncio
from dataclasses import dataclass

import httpx

from orchestrator.ports import Databases, Engine, Forge, Sources
from orchestrator.queue import Queue
from orchestrator.settings import Settings
from orchestrator.store import Store
from orchestrator.vault import Vault
from orchestrator.views import Views
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
    slots: asyncio.Semaphore
    """One for each deployment that may run at once. Teardown takes none: it never waits behind builds."""
    turns: Turns
    """Who builds, of all previews."""
