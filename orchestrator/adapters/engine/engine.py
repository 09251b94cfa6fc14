"""The Docker Engine: what runs the containers of previews. Made by the worker's composition root, used through ports.

Short calls go through the Docker SDK, each in a thread with a deadline; builds, pulls, checks and logs are streams
over httpx. All errors of both become ours here, by the Engine's own words and by looking again: its status codes
alone mislead (404 for an image that a new container needs, 409 for a name that is taken).
"""

import asyncio
import contextlib
import ipaddress
import json
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, TypeVar

import docker
import docker.errors
import httpx
import requests
from docker.types import IPAMConfig, IPAMPool

from orchestrator.adapters.engine import buildkit, faults, streams
from orchestrator.adapters.engine.answers import engine_object, image, image_names, status, tagged
from orchestrator.adapters.engine.breaker import Breaker
from orchestrator.adapters.engine.faults import Fault, Refusal, judged, not_pulled
from orchestrator.adapters.engine.registry_auth import RegistryAuth, encoded
from orchestrator.ports.engine import (
    BuildRequest,
    Command,
    ContainerStatus,
    EngineEvent,
    EngineObject,
    Image,
    Log,
)
from orchestrator.ports.sources import BuildContext
from orchestrator.preview.errors import OperatorError, TemporaryError, Unavailable
from orchestrator.runtime import fence
from orchestrator.runtime.concurrency import in_thread

DEFAULT_URL = "unix:///var/run/docker.sock"
CALL_SECONDS = 60
"""The Engine answers a short call within this time, or is not well. Removing a large container takes seconds."""
PING_SECONDS = 3.0
"""An Engine that is well answers a ping at once."""
THREADS = 16
"""Calls that wait for the Engine at the same time. They are its own: one that hangs holds up nothing else."""
PRUNE_SECONDS = 600
"""Removing gigabytes of a build cache takes minutes."""
CREATE_ATTEMPTS = 20
"""How often a container is created anew while another one of its name is on its way out."""
RETRY_SECONDS = 0.25
LOG_OCTETS = 256 * 1024
"""The most that `logs` returns, however long the lines are."""

T = TypeVar("T")


class DockerEngine:
    """One Docker Engine, API 1.41 or newer, at `unix:///path` or `tcp://host:port`. Connects at its first call."""

    def __init__(self, base_url: str = DEFAULT_URL, registries: RegistryAuth | None = None) -> None:
        self._base_url = base_url
        self._registries = registries or RegistryAuth()
        self._connecting = threading.Lock()
        self._connected: docker.APIClient | None = None
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="engine")
        self._breaker = Breaker("the Docker Engine", self._ask)

    async def close(self) -> None:
        if self._connected is not None:
            await asyncio.to_thread(self._connected.close)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def ping(self) -> None:
        await self._breaker.probe()

    async def gateway(self) -> str:
        network = await self._call("describe its default bridge", lambda api: api.inspect_network("bridge"))
        for pool in network["IPAM"]["Config"] or ():
            subnet = ipaddress.ip_network(pool["Subnet"])
            if isinstance(subnet, ipaddress.IPv4Network):
                return str(pool.get("Gateway") or subnet[1])
        raise OperatorError(
            "the Docker Engine's default bridge has no IPv4 address",
            remedy="Remove `bridge: none` from the Engine's daemon.json and restart it.",
        )

    async def root(self) -> str:
        return str((await self._call("describe itself", lambda api: api.info()))["DockerRootDir"])

    # Images

    async def build(self, request: BuildRequest, context: BuildContext, log: Log) -> str:
        async with await self._streams() as client:
            return await buildkit.build(client, request, context, self._registries, log)

    async def image(self, reference: str) -> Image | None:
        try:
            found = await self._call(f"describe image {reference}", lambda api: _inspect_image(api, reference))
        except Refusal as refusal:
            if refusal.status == HTTPStatus.NOT_FOUND:
                return None
            raise
        return image(found)

    async def pull(self, reference: str, log: Log) -> Image:
        try:
            async with await self._streams() as client:
                await _pull(client, tagged(reference), self._registries, log)
        except httpx.TransportError as error:
            raise _unreachable(error) from error
        image = await self.image(reference)
        if image is None:
            raise TemporaryError(f"the image {reference} was pulled, and is gone again")
        return image

    async def remove_image(self, reference: str) -> None:
        """A name is one of perhaps several of its image; an id is the image with all of its names."""
        whole = reference.startswith("sha256:")
        await self._remove(f"remove image {reference}", lambda api: api.remove_image(reference, force=whole))

    async def limit_build_cache(self, octets: int) -> None:
        """Engines from API 1.48 on call the parameter otherwise, and still know the old name."""
        try:
            async with await self._streams() as client:
                parameters = {"keep-storage": str(octets), "all": "1"}
                response = await client.post("/build/prune", params=parameters, timeout=PRUNE_SECONDS)
        except httpx.TransportError as error:
            raise _unreachable(error) from error
        if response.is_error:
            raise TemporaryError(f"the Docker Engine did not limit its build cache: {response.text.strip()}")

    async def build_cache_bytes(self) -> int:
        """Engines before API 1.42 measure everything else that they have, too."""
        try:
            async with await self._streams() as client:
                response = await client.get("/system/df", params={"type": "build-cache"}, timeout=PRUNE_SECONDS)
        except httpx.TransportError as error:
            raise _unreachable(error) from error
        if response.is_error:
            raise TemporaryError(f"the Docker Engine did not measure its build cache: {response.text.strip()}")
        return sum(part["Size"] for part in response.json().get("BuildCache") or () if not part.get("Shared"))

    # Networks and volumes

    async def subnets(self) -> list[ipaddress.IPv4Network]:
        networks = await self._call("list its networks", lambda api: api.networks())
        pools = (pool["Subnet"] for network in networks for pool in network["IPAM"]["Config"] or () if "Subnet" in pool)
        subnets = (ipaddress.ip_network(pool, strict=False) for pool in pools)
        return [subnet for subnet in subnets if isinstance(subnet, ipaddress.IPv4Network)]

    async def ensure_network(
        self, name: str, subnet: ipaddress.IPv4Network, labels: Mapping[str, str], *, internal: bool = False
    ) -> bool:
        """Names of networks are not unique on the Engine: look first, and look again after creating."""
        if await self._own_network(name, labels):
            return True
        try:
            created = await self._call(
                f"create network {name}", lambda api: _create_network(api, name, subnet, labels, internal=internal)
            )
        except (Refusal, Fault) as answer:
            if "overlap" in answer.words.lower():
                return False
            if answer.status == HTTPStatus.CONFLICT and await self._own_network(name, labels):
                return True
            raise
        kept = await self._own_network(name, labels)
        if kept != created["Id"]:
            await self.remove_network(created["Id"])
        return True

    async def connect(self, network: str, container: str, aliases: Sequence[str], links: Sequence[str] = ()) -> None:
        doing = f"connect container {container} to network {network}"
        pairs = [(linked, alias) for linked, _, alias in (link.partition(":") for link in links)]
        try:
            await self._call(
                doing,
                lambda api: api.connect_container_to_network(container, network, aliases=list(aliases), links=pairs),
            )
        except (Refusal, Fault) as answer:
            if "already exists in network" in answer.words:
                return
            if answer.status == HTTPStatus.NOT_FOUND:
                raise TemporaryError(answer.message) from answer
            raise

    async def remove_network(self, name: str) -> None:
        for network in await self._networks(name) or [{"Id": name}]:
            await self._remove_network(network["Id"])

    async def ensure_volume(self, name: str, labels: Mapping[str, str]) -> None:
        """The Engine answers the existing volume of a name, whatever its labels are."""
        volume = await self._call(f"create volume {name}", lambda api: api.create_volume(name, labels=dict(labels)))
        _check_owner(f"volume {name}", volume.get("Labels") or {}, labels)

    async def remove_volume(self, name: str) -> None:
        await self._remove(f"remove volume {name}", lambda api: api.remove_volume(name))

    # Containers

    async def create_container(self, name: str, body: Mapping[str, Any]) -> str:
        doing = f"create container {name}"
        for _ in range(CREATE_ATTEMPTS):
            try:
                created = await self._call(doing, lambda api: _create_container(api, name, body))
                return str(created["Id"])
            except (Refusal, Fault) as answer:
                if answer.status != HTTPStatus.CONFLICT:
                    raise judged(answer, "cannot be created") from answer
                conflict = answer
            existing = await self._inspect(name)
            if existing is not None and existing["State"]["Status"] != "removing":
                _check_owner(f"container {name}", existing["Config"]["Labels"] or {}, body.get("Labels") or {})
                return str(existing["Id"])
            await asyncio.sleep(RETRY_SECONDS)
        raise TemporaryError(conflict.message)

    async def start(self, container: str) -> None:
        try:
            await self._call(f"start container {container}", lambda api: api.start(container))
        except (Refusal, Fault) as answer:
            raise judged(answer, "does not start") from answer

    async def stop(self, container: str, grace_seconds: int | None) -> None:
        await self._remove(f"stop container {container}", lambda api: api.stop(container, timeout=grace_seconds))

    async def remove_container(self, container: str) -> None:
        doing = f"remove container {container}"
        for _ in range(CREATE_ATTEMPTS):
            try:
                await self._remove(doing, lambda api: api.remove_container(container, v=True, force=True))
            except TemporaryError:
                state = await self._inspect(container)
                if state is None:
                    return
                if state["State"]["Status"] != "removing":
                    raise
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return
        raise TemporaryError(f"the Docker Engine is still busy to {doing}")

    async def container(self, container: str) -> ContainerStatus | None:
        found = await self._inspect(container)
        return None if found is None else status(found)

    async def containers(self, labels: Mapping[str, str]) -> list[ContainerStatus]:
        listed = await self._call("list its containers", lambda api: api.containers(all=True, filters=_filter(labels)))
        found = await asyncio.gather(*(self.container(entry["Id"]) for entry in listed))
        return [status for status in found if status is not None]

    async def run_check(self, container: str, test: tuple[str, ...], seconds: float) -> int | None:
        argv = ("/bin/sh", "-c", *test[1:]) if test[0] == "CMD-SHELL" else test[1:]
        return await self.run_command(container, Command(argv=argv), seconds)

    async def run_command(self, container: str, command: Command, seconds: float) -> int | None:
        """One that took too long goes on inside: no call ends it."""
        try:
            made = await self._call(f"run a command in {container}", lambda api: _prepare(api, container, command))
            async with asyncio.timeout(seconds), await self._streams() as client:
                await _run(client, made["Id"])
            done = await self._call("read a command's result", lambda api: api.exec_inspect(made["Id"]))
        except Refusal as refusal:
            if refusal.status in {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT} or "is not running" in refusal.words:
                return 1
            raise judged(refusal, "cannot run a command") from refusal
        except TimeoutError:
            return None
        except httpx.TransportError as error:
            raise _unreachable(error) from error
        code = done["ExitCode"]
        return 1 if code is None else int(code)

    async def logs(self, container: str, tail: int) -> tuple[str, ...]:
        found = await self._inspect(container)
        if found is None:
            return ()
        parameters = {"stdout": "1", "stderr": "1", "tail": str(tail)}
        try:
            async with (
                await self._streams() as client,
                client.stream(
                    "GET", f"/containers/{found['Id']}/logs", params=parameters, timeout=CALL_SECONDS
                ) as response,
            ):
                if response.is_error:
                    return ()
                text = await _end(streams.output(response, framed=not found["Config"]["Tty"]), LOG_OCTETS)
        except httpx.TransportError as error:
            raise _unreachable(error) from error
        return tuple(line.rstrip("\r") for line in text.decode(errors="replace").removesuffix("\n").split("\n") if text)

    async def objects(self, labels: Mapping[str, str]) -> list[EngineObject]:
        return await self._call("list what carries our labels", lambda api: _objects(api, _filter(labels)))

    @contextlib.asynccontextmanager
    async def events(self, labels: Mapping[str, str]) -> AsyncIterator[AsyncIterator[EngineEvent]]:
        wanted = {**_filter(labels), "type": ["container"], "event": ["die", "destroy"]}
        try:
            async with (
                await self._streams() as client,
                client.stream("GET", "/events", params={"filters": json.dumps(wanted)}) as response,
            ):
                if response.is_error:
                    raise TemporaryError(f"the Docker Engine tells no events: {await streams.refusal(response)}")
                yield _events(response)
        except httpx.TransportError as error:
            raise _unreachable(error) from error

    # The one place where the Engine is called and its errors become ours

    async def _call(self, doing: str, call: Callable[[docker.APIClient], T]) -> T:
        """Run one short call in a thread."""
        await self._breaker.admit()
        return await in_thread(self._attempt, doing, call, executor=self._threads)

    def _attempt(self, doing: str, call: Callable[[docker.APIClient], T]) -> T:
        fence.require()  # while it connects, the SDK takes whatever is raised for an Engine that is away
        self._breaker.require()
        try:
            return call(self._api())
        except docker.errors.APIError as error:
            status, words = error.status_code or 0, str(error.explanation or error)
            if exhausted := faults.exhausted(words):
                raise exhausted from error
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise Fault(doing, status, words) from error
            raise Refusal(doing, status, words) from error
        except (requests.RequestException, docker.errors.DockerException) as error:
            self._breaker.doubt()
            failure = _unreachable(error)
        raise failure  # not from the error: that holds on to a socket which the SDK left open

    async def _ask(self) -> None:
        """Ping it. Raises Unavailable."""
        try:
            async with streams.client(self._base_url) as client:
                answer = await client.get("/_ping", timeout=PING_SECONDS)
        except httpx.TimeoutException as error:
            raise Unavailable(f"a ping is not answered within {PING_SECONDS:g} s") from error
        except httpx.TransportError as error:
            raise _unreachable(error) from error
        if answer.is_error:
            raise Unavailable(f"a ping is answered with {answer.status_code}: {answer.text.strip()}")

    def _api(self) -> docker.APIClient:
        with self._connecting:
            self._breaker.require()  # whoever connected before us may have waited in vain
            if self._connected is None:
                api = _FencedClient(base_url=self._base_url, version="auto", timeout=CALL_SECONDS)
                api.trust_env = False  # an Engine is never behind the proxy that the environment names
                self._connected = api
            return self._connected

    async def _streams(self) -> httpx.AsyncClient:
        version = await self._call("say its version", lambda api: api.api_version)
        return streams.client(self._base_url, version)

    async def _remove(self, doing: str, call: Callable[[docker.APIClient], None]) -> None:
        """What is not there is removed; what is in use, or already on its way out, may be tried again."""
        try:
            await self._call(doing, call)
        except Refusal as refusal:
            if refusal.status == HTTPStatus.CONFLICT:
                raise TemporaryError(refusal.message) from refusal
            if refusal.status != HTTPStatus.NOT_FOUND:
                raise

    async def _inspect(self, container: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = await self._call(
                f"describe container {container}", lambda api: api.inspect_container(container)
            )
        except Refusal as refusal:
            if refusal.status == HTTPStatus.NOT_FOUND:
                return None
            raise
        return found

    async def _networks(self, name: str) -> list[dict[str, Any]]:
        """Every network of exactly this name, the oldest first. The Engine's own filter also finds parts of names."""
        listed = await self._call("list its networks", lambda api: api.networks(names=[name]))
        return sorted((n for n in listed if n["Name"] == name), key=lambda n: (n["Created"], n["Id"]))

    async def _own_network(self, name: str, labels: Mapping[str, str]) -> str | None:
        found = await self._networks(name)
        for network in found:
            _check_owner(f"network {name}", network["Labels"] or {}, labels)
        return found[0]["Id"] if found else None

    async def _remove_network(self, network: str) -> None:
        doing = f"remove network {network}"
        try:
            await self._remove(doing, lambda api: api.remove_network(network))
        except Refusal as refusal:
            if "active endpoints" not in refusal.words:
                raise
            await self._call(doing, lambda api: _disconnect_all(api, network))
            await self._remove(doing, lambda api: api.remove_network(network))


class _FencedClient(docker.APIClient):
    """The Docker SDK, whose every request asks the fence in its thread, right before it is sent."""

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        fence.require()
        return super().send(request, **kwargs)


def _check_owner(what: str, found: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Adopt what an earlier, interrupted run of ours made, and nothing else."""
    if not wanted.items() <= found.items():
        raise OperatorError(
            f"{what} exists, and is not the one that this preview would make",
            remedy=f"Remove {what} if nobody needs it, or give this previewd another instance name.",
        )


def _filter(labels: Mapping[str, str]) -> dict[str, list[str]]:
    return {"label": [f"{key}={value}" for key, value in labels.items()]}


def _create_network(
    api: docker.APIClient, name: str, subnet: ipaddress.IPv4Network, labels: Mapping[str, str], *, internal: bool
) -> dict[str, str]:
    ipam = IPAMConfig(pool_configs=[IPAMPool(subnet=str(subnet))])
    return api.create_network(
        name, driver="bridge", ipam=ipam, check_duplicate=True, labels=dict(labels), internal=internal
    )


def _create_container(api: docker.APIClient, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    created: dict[str, Any] = api.create_container_from_config(dict(body), name)  # type: ignore[no-untyped-call]
    return created


def _prepare(api: docker.APIClient, container: str, command: Command) -> dict[str, Any]:
    return api.exec_create(
        container,
        list(command.argv),
        user=command.user or "",
        workdir=command.working_dir,
        environment=dict(command.environment) or None,
    )


def _inspect_image(api: docker.APIClient, reference: str) -> dict[str, Any]:
    found: dict[str, Any] = api.inspect_image(reference)  # type: ignore[no-untyped-call]
    return found


def _disconnect_all(api: docker.APIClient, network: str) -> None:
    """Containers that are not ours, or left their endpoint behind when the Engine was killed."""
    for container in api.inspect_network(network)["Containers"]:
        api.disconnect_container_from_network(container, network, force=True)


async def _pull(client: httpx.AsyncClient, reference: str, registries: RegistryAuth, log: Log) -> None:
    credentials = registries.for_image(reference)
    headers = {"X-Registry-Auth": encoded(credentials)} if credentials else {}
    parameters = {"fromImage": reference}
    async with client.stream("POST", "/images/create", params=parameters, headers=headers) as response:
        if response.is_error:
            raise not_pulled(reference, await streams.refusal(response))
        async for message in streams.json_lines(response):
            if "error" in message:
                raise not_pulled(reference, str(message["error"]))
            if "status" in message and not message.get("progressDetail"):
                await log(": ".join(str(message[key]) for key in ("id", "status") if key in message))


async def _run(client: httpx.AsyncClient, execution: str) -> None:
    """Start a prepared command inside of a container and wait for its end. What it prints is not kept."""
    body = {"Detach": False, "Tty": False}
    async with client.stream("POST", f"/exec/{execution}/start", json=body) as response:
        if response.is_error:
            raise Refusal("run a check", response.status_code, await streams.refusal(response))
        async for _ in response.aiter_bytes():
            pass


async def _end(chunks: AsyncIterator[bytes], octets: int) -> bytes:
    """The last octets of a stream of any length, in bounded memory."""
    kept: deque[bytes] = deque()
    size = 0
    async for chunk in chunks:
        kept.append(chunk)
        size += len(chunk)
        while size - len(kept[0]) >= octets:
            size -= len(kept.popleft())
    return b"".join(kept)[-octets:]


def _unreachable(error: Exception) -> TemporaryError | OperatorError:
    if "PermissionError" in repr(error):
        return OperatorError(
            "previewd may not use the Docker Engine's socket",
            remedy="Run it as a member of the group that owns the socket (usually `docker`).",
        )
    if isinstance(error, requests.Timeout | httpx.TimeoutException):
        return TemporaryError(f"the Docker Engine took too long: {error}")  # it may be what we ask that takes so long
    return Unavailable(f"the Docker Engine does not answer: {error}")


def _objects(api: docker.APIClient, wanted: dict[str, list[str]]) -> list[EngineObject]:
    containers = api.containers(all=True, filters=wanted)
    networks = api.networks(filters=wanted)
    volumes = api.volumes(filters=wanted)["Volumes"] or ()
    images = api.images(filters=wanted)
    return [
        *(engine_object("container", found, found["Id"], found["Names"][0].removeprefix("/")) for found in containers),
        *(engine_object("network", found, found["Id"], found["Name"]) for found in networks),
        *(engine_object("volume", found, found["Name"], found["Name"]) for found in volumes),
        *(engine_object("image", found, found["Id"], name) for found in images for name in image_names(found)),
    ]


async def _events(response: httpx.Response) -> AsyncIterator[EngineEvent]:
    async for message in streams.json_lines(response):
        about = message["Actor"]["Attributes"]  # the labels, and facts of the Engine's own among them
        yield EngineEvent(action=message["Action"], container=about.get("name", ""), labels=about)
