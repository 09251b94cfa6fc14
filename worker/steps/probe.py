"""Prove that the new commit answers under the public host, through the proxy, and let it serve.

Until then only this probe reaches it, by a token that the router knows: everybody else stays where they were.
"""

import asyncio
import secrets
import time
from dataclasses import dataclass

import httpx

from orchestrator.compose.route import Route
from orchestrator.ports.engine import ContainerStatus
from orchestrator.ports.ingress import COMMIT_HEADER, PROBE_HEADER
from orchestrator.preview.errors import OperatorError, ProbeError, TemporaryError
from worker.containers.endings import output_tail, require_own_end
from worker.containers.plan import Plan, Planned, network_name, plan
from worker.deployment.deployment import Deployment
from worker.deployment.stack import read_stack

USUAL_PATHS = ("/healthz", "/api/health", "/health-check", "/api/v1/health", "/api/healthz", "/ping", "/livez")
"""Tried when the file names no health path and `/health` is not there."""

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0
ANSWER_SECONDS = 10.0
ANSWER_BYTES = 64 * 1024
"""Of an answer's body no more is read: a health path may be hostile too."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request brought: a status of 0 means that nothing answered, and `words` says why."""

    status: int
    commit: str
    words: str


@dataclass(frozen=True, slots=True)
class Proof:
    """How it was proven, in words, and name:port of the container whose address visitors are led to."""

    words: str
    routed: str


async def run(deployment: Deployment) -> None:
    proof = await prove(deployment)
    names = {container.name for replicas in (await plan(deployment)).values() for container in replicas}
    present = await deployment.context.engine.containers(deployment.names.labels())
    serving = [status for status in present if status.name in names]
    running = [status.name for status in serving if status.running or status.restarting]
    await deployment.permit()
    await deployment.claim.serving.promote(
        [status.name for status in serving], proof.words, running=running, routed=proof.routed
    )


async def prove(deployment: Deployment) -> Proof:
    """Let the probe, and nobody else, reach the candidate until it answers well."""
    _, route = await read_stack(deployment)
    containers = await plan(deployment)
    routed = _routed(containers, route)
    token = secrets.token_urlsafe(16)
    holder, address, port = await _upstream(deployment, containers, route, routed)
    await deployment.permit()
    await deployment.claim.serving.set_candidate(deployment.commit, f"{address}:{port}", token)
    return Proof(words=await _prove(deployment, route, routed, token), routed=f"{holder}:{port}")


def _routed(containers: Plan, route: Route) -> Planned:
    """The container that visitors reach: the first where there are several."""
    if not containers[route.service]:
        raise ProbeError(f"service {route.service} is scaled to 0, so nothing answers", "give it one replica")
    return containers[route.service][0]


async def _upstream(deployment: Deployment, containers: Plan, route: Route, routed: Planned) -> tuple[str, str, int]:
    """Whose address it is, the address on a network of the preview, as the Engine says it, and the port it serves."""
    port = route.port or next(iter(routed.image.exposed_ports), None)
    if port is None:
        raise ProbeError(
            f"nothing says on which port {route.service} listens",
            "add `expose: [8000]` to the service, or `x-preview: {port: 8000}` to the file",
        )
    sharing = routed.service.network_service
    holder = containers[sharing][0] if sharing else routed
    status = await deployment.context.engine.container(holder.name)
    if status is None:  # since the launch its image's name went to another build, or somebody removed it
        raise TemporaryError(f"the container of {holder.service.name} is gone")
    address = await _address(deployment, status)
    if not address:
        await require_own_end(deployment, holder.service.name, status)
        lines = await output_tail(deployment, routed.name)
        raise ProbeError(f"service {route.service} does not run", log_tail=lines)
    return holder.name, address, port


async def _address(deployment: Deployment, status: ContainerStatus) -> str | None:
    """On a network that also leads outwards, if it is in one: the proxy may be a container itself."""
    stack, _ = await read_stack(deployment)
    joined = sorted(stack.networks.items(), key=lambda item: (item[1].internal, item[0]))
    names = (network_name(deployment, stack, name) for name, _ in joined)
    return next((status.addresses[name] for name in names if name in status.addresses), None)


async def _prove(deployment: Deployment, route: Route, routed: Planned, token: str) -> str:
    """Ask until it answers well; returns how it was proven."""
    limit = deployment.context.settings.probe_seconds
    deadline, pause = time.monotonic() + limit, FIRST_PAUSE_SECONDS
    while True:
        answer = await _ask(deployment, route.health, token)
        if _is_well(deployment, answer):
            return f"GET {route.health} answered {answer.status} through the proxy"
        if answer.status == httpx.codes.NOT_FOUND and not route.health_is_given:
            usual = await _ask_usual_paths(deployment, token)
            if usual:
                return usual
        await _require_running(deployment, route, routed)
        if time.monotonic() > deadline:
            raise await _failure(deployment, route, routed, f"after {limit:g} s {answer.words}")
        await asyncio.sleep(pause)
        pause = min(LONGEST_PAUSE_SECONDS, pause * 1.5)


async def _ask_usual_paths(deployment: Deployment, token: str) -> str | None:
    for path in USUAL_PATHS:
        answer = await _ask(deployment, path, token)
        if _is_well(deployment, answer):
            return f"GET {path} answered {answer.status} through the proxy (set x-preview.health to name it)"
    return None


async def _ask(deployment: Deployment, path: str, token: str) -> Answer:
    """One GET with the public host through the proxy; no redirect is followed, and only so much is read."""
    headers = {"Host": deployment.host, PROBE_HEADER: token, "Accept-Encoding": "identity"}
    try:
        async with (
            asyncio.timeout(ANSWER_SECONDS),
            deployment.context.proxy.stream("GET", path, headers=headers) as response,
        ):
            size = 0
            async for chunk in response.aiter_raw():
                size += len(chunk)
                if size > ANSWER_BYTES:
                    break
            commit = response.headers.get(COMMIT_HEADER, "")
            return Answer(response.status_code, commit, f"GET {path} answers {response.status_code}")
    except httpx.ConnectError as error:
        proxy = deployment.context.proxy.base_url
        raise OperatorError(f"the proxy at {proxy} does not answer", "start Caddy (`previewd up` does)") from error
    except (httpx.HTTPError, TimeoutError) as error:
        return Answer(0, "", f"GET {path} gives no answer ({type(error).__name__})")


def _is_well(deployment: Deployment, answer: Answer) -> bool:
    """Only a 2xx that the router sent to this very commit proves anything about it."""
    return httpx.codes.is_success(answer.status) and answer.commit == deployment.commit


async def _require_running(deployment: Deployment, route: Route, routed: Planned) -> None:
    status = await deployment.context.engine.container(routed.name)
    if status is None:
        raise TemporaryError(f"the container of {route.service} is gone")
    if not status.running:
        await require_own_end(deployment, route.service, status)
        raise await _failure(deployment, route, routed, f"it exited with code {status.exit_code} before it answered")


async def _failure(deployment: Deployment, route: Route, routed: Planned, what: str) -> ProbeError:
    lines = await output_tail(deployment, routed.name)
    return ProbeError(f"service {route.service}: {what}", _usual_remedy(route), lines)


def _usual_remedy(route: Route) -> str:
    return (
        f"the application must listen on 0.0.0.0:{route.port or 'its exposed port'} "
        f"and answer {route.health} with 2xx; `x-preview.health` and `x-preview.port` name others"
    )
