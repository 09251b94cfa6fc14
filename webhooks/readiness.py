"""Whether this process can do all of its work, and what is wrong when it cannot."""

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.errors import ConfigurationError
from orchestrator.queue import Queue
from orchestrator.revision import require_current
from webhooks.answers import DATABASE_FAULTS

OK = "ok"
CHECK_SECONDS = 3.0


async def postgres(engine: AsyncEngine) -> str:
    """`ok`, or what is wrong with previewd's own database."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await require_current(engine)
    except ConfigurationError as error:
        return f"{error.message}: {error.remedy}"
    except DATABASE_FAULTS:
        return "does not answer: check that it runs, and PREVIEWD_DATABASE_URL"
    return OK


async def redis(queue: Queue) -> str:
    """`ok`, or what is wrong with Redis."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            reachable = await queue.reachable()
    except TimeoutError:
        reachable = False
    return OK if reachable else "does not answer: check that it runs, and PREVIEWD_REDIS_URL"
