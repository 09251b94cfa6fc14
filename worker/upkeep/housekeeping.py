"""Images that no preview uses, the build cache's limit, room on a disk that is too full."""

import contextlib

import structlog

from orchestrator.preview.errors import TemporaryError
from worker.cleanup.images import discard_images
from worker.context.context import WorkerContext

_log = structlog.get_logger()

PAUSE_SECONDS = 300.0

ROOM_SECONDS = 15.0
"""How often the disks are looked at."""

FOREIGN_SUBNET_SECONDS = 3600.0
"""After so long a subnet that something else was found to use is offered to the Engine again."""


async def keep_house(context: WorkerContext) -> None:
    """One round."""
    await discard_images(context)
    if context.settings.build_cache_bytes:
        await context.engine.limit_build_cache(context.settings.build_cache_bytes)
    await context.store.subnets.retry(FOREIGN_SUBNET_SECONDS)


async def make_room(context: WorkerContext) -> None:
    """Look at the disks; on one that is too full, remove what nobody needs: images first, then what builds left."""
    machine, floor = context.machine, context.settings.min_free_disk_bytes
    if machine.has_engine and machine.engine_root is None:
        machine.found_engine_root(await context.engine.root())
    before = machine.look()
    if not before.is_full(floor):
        return
    with contextlib.suppress(TemporaryError):  # one of them is in use after all
        await discard_images(context)
    if context.settings.build_cache_bytes and machine.look().is_full(floor):
        await context.engine.limit_build_cache(0)
    for was, now in zip(before.disks, machine.look().disks, strict=True):
        _log.warning("a disk is full", disk=was.name, floor=floor, free_before=was.free, free=now.free)
