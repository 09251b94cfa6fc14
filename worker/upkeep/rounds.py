"""Makes the world and our rows agree: every 30 s, and whenever we begin to listen to the Engine.

A round looks at everything there is, plans, and acts; `orchestrator.reconcile` has the rules. Each worker makes rounds
of its own; after its start, the forge's open pull requests are listed more seldom, by one of them. An event of the
Engine makes no round: it raises the generation of one preview (`heard`).
"""

import asyncio
import os
import socket
from datetime import timedelta
from typing import NoReturn

import structlog

from orchestrator.ports.engine import EngineEvent
from orchestrator.preview.names import instance_labels, preview_of
from orchestrator.reconcile.apply import apply
from orchestrator.reconcile.observe import Reach, observe
from orchestrator.reconcile.world import leaks
from worker.context.context import WorkerContext

PAUSE_SECONDS = 30.0

FORGE_PAUSE = timedelta(minutes=2)
"""Lost deliveries are made up for after so long …"""
FORGE_PAUSE_EACH = timedelta(seconds=3)
"""… or after so long for each repository that was asked about: of GitHub's 5,000 requests an hour it takes 1,200."""

LISTEN_AGAIN_SECONDS = 2.0

_log = structlog.get_logger()


async def reconcile(context: WorkerContext) -> None:
    """One round, which asks the forge too when it is this worker's turn."""
    await make_round(context, ask_forge=await context.store.leaks.claim_forge(FORGE_PAUSE, _name()))


async def listen(context: WorkerContext) -> NoReturn:
    """Hear from the Engine what ends; never returns. Whenever we begin to listen, something may have been missed.

    Of the forge that is true at the start only: an Engine that comes and goes says nothing about pull requests.
    """
    at_start = True
    while True:
        try:
            async with context.engine.events(instance_labels(context.settings.instance)) as events:
                await make_round(context, ask_forge=at_start)
                at_start = False
                async for event in events:
                    await heard(context, event)
        except Exception as error:  # noqa: BLE001 - whatever ends one connection does not end the next
            _log.info("not listening to the Engine", reason=f"{type(error).__name__}: {error}")
        await asyncio.sleep(LISTEN_AGAIN_SECONDS)


async def heard(context: WorkerContext, event: EngineEvent) -> None:
    """Have a preview looked at when something that serves has ended. However much ends at once, it is one look."""
    preview = preview_of(dict(event.labels))
    if preview is not None and await context.store.generations.ended(preview, event.container):
        _log.info("something that serves has ended", preview=str(preview), container=event.container)


async def make_round(context: WorkerContext, *, ask_forge: bool) -> None:
    """Look, plan, keep what leaked for people to see, and act."""
    reach = reach_of(context)
    observed = await observe(reach, ask_forge=ask_forge)
    actions = observed.plan()
    if ask_forge:
        await context.store.leaks.rest_forge(FORGE_PAUSE_EACH * len(observed.wanted.open))
    await context.store.leaks.record(leaks(actions), observed.unknown, _name())
    await apply(reach, actions)


def reach_of(context: WorkerContext) -> Reach:
    return Reach(
        settings=context.settings,
        store=context.store,
        queries=context.queries,
        engine=context.engine,
        databases=context.databases,
        sources=context.sources,
        proxy=context.proxy,
        forge=context.forge,
    )


def _name() -> str:
    """Which worker it was, for people."""
    return f"{socket.gethostname()}, process {os.getpid()}"
