"""The real Engine in tests: whether there is one, and a label under which everything that a test made is removed."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orchestrator.adapters.engine.engine import DEFAULT_URL, DockerEngine
from orchestrator.preview.errors import TemporaryError

ENGINE_URL = os.environ.get("PREVIEWD_DOCKER_HOST") or os.environ.get("DOCKER_HOST") or DEFAULT_URL
LABEL = "dev.previewd.test"
REMOVE_ATTEMPTS = 5


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


async def answers(engine: DockerEngine) -> bool:
    scheme, _, path = ENGINE_URL.partition("://")
    if scheme == "unix" and not await asyncio.to_thread(os.path.exists, path):
        return False  # before the SDK tries: it leaves an open socket behind
    try:
        await engine.subnets()
    except TemporaryError:
        return False
    return True


@asynccontextmanager
async def leaving_nothing(engine: DockerEngine) -> AsyncIterator[dict[str, str]]:
    """Yield labels for one test; whatever carries them afterwards is removed."""
    labels = {LABEL: unique("t")}
    try:
        yield labels
    finally:
        for attempt in range(REMOVE_ATTEMPTS):
            try:
                await _remove_all(engine, labels)
                break
            except TemporaryError:
                if attempt == REMOVE_ATTEMPTS - 1:
                    raise


async def _remove_all(engine: DockerEngine, labels: dict[str, str]) -> None:
    removers = {
        "container": engine.remove_container,
        "network": engine.remove_network,
        "volume": engine.remove_volume,
        "image": engine.remove_image,
    }
    for found in await engine.objects(labels):
        await removers[found.kind](found.id)
