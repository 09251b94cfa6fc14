"""Looks, every few seconds, at everything that the worker needs, and records what answers and what does not.

Each look has a deadline of its own, and none waits for another: whatever hangs is told as hanging, and delays nothing.
"""

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import structlog

from orchestrator.preview.errors import PreviewdError
from orchestrator.runtime import health
from orchestrator.runtime.units import size_told
from worker.context.context import WorkerContext

ANSWER_SECONDS = 3.0
"""Whatever is well answers within this time."""

MIN_FREE_BYTES = 256 << 20
"""Of the disk of our data: with less, git and the files of previews have no room to work."""

_log = structlog.get_logger()

Look = Callable[[WorkerContext], Awaitable[str]]
"""Says what is wrong, or nothing. May raise what its dependency raises."""


async def look(context: WorkerContext) -> None:
    """One round. Postgres itself is not among them: without it nothing can be recorded, and the web process tells."""
    faults = await asyncio.gather(*(_within_time(one, context) for one in LOOKS.values()))
    found = dict(zip(LOOKS, faults, strict=True))
    await context.store.health.record({**found, health.WORKER: ""})


async def _within_time(one: Look, context: WorkerContext) -> str:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await one(context)
    except TimeoutError:
        return f"it does not answer within {ANSWER_SECONDS:g} s"
    except PreviewdError as error:
        return error.message
    except Exception as error:  # noqa: BLE001 - a look that cannot be had is itself what there is to tell
        _log.warning("a look failed", reason=f"{type(error).__name__}: {error}")
        return f"it cannot be asked: {type(error).__name__}"


async def _engine(context: WorkerContext) -> str:
    await context.engine.ping()
    return ""


async def _previews_postgres(context: WorkerContext) -> str:
    await context.databases.ping()
    return ""


async def _github(context: WorkerContext) -> str:
    return await context.forge.fault()


async def _redis(context: WorkerContext) -> str:
    return "" if await context.queue.reachable() else "it does not answer"


async def _proxy(context: WorkerContext) -> str:
    """Caddy must answer, and behind it the router: 502 is what Caddy says when that does not."""
    host = f"previewd-looks.{context.settings.domain}"
    try:
        answer = await context.proxy.get("/", headers={"Host": host})
    except httpx.HTTPError as error:
        return f"Caddy does not answer: {type(error).__name__}"
    if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
        return f"the router behind Caddy does not answer: Caddy says {answer.status_code}"
    return ""


async def _disk(context: WorkerContext) -> str:
    return await asyncio.to_thread(disk_fault, context.settings.data_dir)


def disk_fault(folder: Path) -> str:
    """What is wrong with the disk that a folder is on, or nothing."""
    try:
        found = os.statvfs(folder)
    except OSError as error:
        return f"{folder} cannot be read: {os.strerror(error.errno or errno.EIO)}"
    if found.f_flag & os.ST_RDONLY:
        return f"{folder} is read-only"
    free = found.f_bavail * found.f_frsize
    if free < MIN_FREE_BYTES:
        return f"{size_told(free)} are left at {folder}, and previewd needs {size_told(MIN_FREE_BYTES)}"
    if not found.f_favail and found.f_files:
        return f"{folder} can hold no more files: its inodes are used up"
    return ""


LOOKS: dict[str, Look] = {
    health.ENGINE: _engine,
    health.PREVIEWS_POSTGRES: _previews_postgres,
    health.GITHUB: _github,
    health.REDIS: _redis,
    health.PROXY: _proxy,
    health.DISK: _disk,
}
