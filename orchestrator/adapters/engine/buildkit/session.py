"""The session of one build: a connection over which BuildKit asks us, as it asks the docker program.

It is an HTTP/2 connection in which the Engine is the client. What is served there is what BuildKit may learn: the
files of this build, its secrets by name, and the credentials of a registry that asks for them.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http import HTTPStatus

import httpx

from orchestrator.adapters.engine import streams
from orchestrator.adapters.engine.buildkit import protobuf
from orchestrator.adapters.engine.buildkit.files import Folder, diff_copy
from orchestrator.adapters.engine.buildkit.grpc import Call, Code, Handler, RpcError, Server
from orchestrator.adapters.engine.buildkit.request import NoBuildKit, refusal
from orchestrator.adapters.engine.registry_auth import RegistryAuth

EXPOSED = "X-Docker-Expose-Session-"
SERVING = 1
"""grpc.health.v1: the service works."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What one build may ask for."""

    folders: Mapping[str, Folder]
    """`context` and `dockerfile`, as BuildKit's Dockerfile frontend names them."""
    secrets: Mapping[str, bytes] = field(repr=False)
    registries: RegistryAuth

    def handlers(self) -> dict[str, Handler]:
        return {
            "/grpc.health.v1.Health/Check": self._check,
            "/moby.buildkit.secrets.v1.Secrets/GetSecret": self._secret,
            "/moby.filesync.v1.Auth/Credentials": self._credentials,
            "/moby.filesync.v1.FileSync/DiffCopy": self._files,
        }

    async def _check(self, call: Call) -> None:
        await call.message()
        await call.send(protobuf.encode((1, SERVING)))

    async def _secret(self, call: Call) -> None:
        name = protobuf.text(protobuf.decode(await call.message()), 1)
        if name not in self.secrets:
            raise RpcError(Code.NOT_FOUND, f"no secret {name} is given to this build")
        await call.send(protobuf.encode((1, self.secrets[name])))

    async def _credentials(self, call: Call) -> None:
        """None are an empty answer: BuildKit then asks the registry for an anonymous token."""
        host = protobuf.text(protobuf.decode(await call.message()), 1)
        found = self.registries.credentials(host)
        if found is not None:
            user, secret = ("", found.token) if found.token else (found.username, found.password)
            await call.send(protobuf.encode((1, user), (2, secret)))
        else:
            await call.send(b"")

    async def _files(self, call: Call) -> None:
        name = call.metadata.get("dir-name", [""])[0]
        if name not in self.folders:
            raise RpcError(Code.NOT_FOUND, f"this build has no folder {name}")
        await diff_copy(self.folders[name], call)


class Session:
    """An open session. Builds name it by its id."""

    def __init__(self, id_: str, server: Server) -> None:
        self.id = id_
        self._server = server

    @property
    def failure(self) -> Exception | None:
        """Why something that BuildKit asked for could not be given, if so."""
        return self._server.failure


@asynccontextmanager
async def opened(client: httpx.AsyncClient, services: Services, shared_key: str) -> AsyncIterator[Session]:
    """Serve a session as long as the context lasts. Raises NoBuildKit.

    Builds with the same `shared_key`, one after the other, send only the files that changed in between.
    """
    handlers = services.handlers()
    id_ = uuid.uuid4().hex
    headers = [
        ("Connection", "Upgrade"),
        ("Upgrade", "h2c"),
        (f"{EXPOSED}Uuid", id_),
        (f"{EXPOSED}Name", "previewd"),
        (f"{EXPOSED}Sharedkey", sha256(shared_key.encode()).hexdigest()),
        *((f"{EXPOSED}Grpc-Method", method) for method in handlers),
    ]
    async with client.stream("POST", "/session", headers=headers) as response:
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            raise _not_opened(response.status_code, await streams.refusal(response))
        server = Server(response.extensions["network_stream"], handlers)
        serving = asyncio.create_task(server.serve())
        try:
            yield Session(id_, server)
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


def _not_opened(status: int, words: str) -> Exception:
    """An Engine that knows no sessions answers as to any path that it does not know."""
    if status in {HTTPStatus.NOT_FOUND, HTTPStatus.NOT_IMPLEMENTED}:
        return NoBuildKit(words)
    return refusal("open a session for the build", status, words)
