"""`POST /build` of the Engine's API: what both of its builders take, and what they answer."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx

from orchestrator.adapters.engine import streams
from orchestrator.adapters.engine.buildkit.redaction import Redaction
from orchestrator.adapters.engine.faults import exhausted
from orchestrator.adapters.engine.registry_auth import RegistryAuth
from orchestrator.ports.engine import BuildRequest, Log
from orchestrator.ports.sources import BuildContext
from orchestrator.preview.errors import BuildError, OperatorError, TemporaryError

Answer = AsyncIterator[dict[str, Any]]

_NO_BUILDKIT = re.compile(r"buildkit.*(not|only) (supported|implemented)", re.IGNORECASE)


class NoBuildKit(Exception):
    """The Engine has no BuildKit. Holds its words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One build: what is asked of which Engine, and who is told."""

    client: httpx.AsyncClient
    request: BuildRequest
    context: BuildContext
    registries: RegistryAuth
    log: Log
    redact: Redaction
    id: str
    """By which it can be cancelled."""

    @property
    def query(self) -> dict[str, str]:
        """What the request becomes, less what says where its files are."""
        request = self.request
        given = {
            "buildid": self.id,
            "t": request.tag,
            "buildargs": json.dumps(dict(request.args)),
            "labels": json.dumps(dict(request.labels)),
            "rm": "1",
            "forcerm": "1",
        }
        ulimits = [{"Name": name, "Soft": soft, "Hard": hard} for name, (soft, hard) in request.ulimits.items()]
        optional = {
            "target": request.target,
            "platform": request.platform,
            "networkmode": request.network,
            "nocache": "1" if request.no_cache else None,
            "cachefrom": json.dumps(request.cache_from) if request.cache_from else None,
            "shmsize": str(request.shm_size) if request.shm_size else None,
            "ulimits": json.dumps(ulimits) if ulimits else None,
        }
        return given | {name: value for name, value in optional.items() if value}


@asynccontextmanager
async def sent(
    client: httpx.AsyncClient,
    query: Mapping[str, str],
    *,
    headers: Mapping[str, str] | None = None,
    body: AsyncIterator[bytes] | None = None,
) -> AsyncIterator[Answer]:
    """Send a build and yield the messages of its answer. Raises NoBuildKit or what `refusal` makes."""
    async with client.stream("POST", "/build", params=query, headers=headers, content=body) as response:
        if response.is_error:
            raise refusal("take the build", response.status_code, await streams.refusal(response))
        yield streams.json_lines(response)


def refusal(doing: str, status: int, words: str) -> Exception:
    """What an answer that is an error means."""
    if _NO_BUILDKIT.search(words):
        return NoBuildKit(words)
    if status == HTTPStatus.BAD_REQUEST and "platform" in words:
        return BuildError(f"the Docker Engine did not {doing}: {words}", "Name a platform as in linux/amd64.")
    if full := exhausted(words):
        return full
    kind = TemporaryError if status >= HTTPStatus.INTERNAL_SERVER_ERROR else OperatorError
    return kind(f"the Docker Engine did not {doing}: {words}")
