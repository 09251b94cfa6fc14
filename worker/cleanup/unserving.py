"""Takes away the containers, networks and files of a preview that do not serve."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

import structlog

from orchestrator.ports.engine import ContainerStatus
from orchestrator.preview.errors import LaunchError
from orchestrator.runtime.concurrency import run_all
from orchestrator.store.claims import Claim
from orchestrator.store.owned import Owned
from worker.containers.hooks import run_pre_stop
from worker.containers.host_files import discard_files
from worker.context.context import WorkerContext

_log = structlog.get_logger()


async def discard_unserving(context: WorkerContext, claim: Claim, *, replaced: bool = False) -> None:
    """Remove the preview's containers that do not serve: old ones after a success, new ones after a failure.

    A serving container that had to leave its volume to one of those is started again. Networks that no serving
    container is in go too, with their subnets, and files that none mounts; volumes stay. Where they are `replaced`, by
    containers of a commit that may run, their `pre_stop` is run first; otherwise what is untrusted ends at once.
    """
    row = await claim.row()
    labels = context.names(claim.preview).labels()
    present = await context.engine.containers(labels)
    serving = [container for container in present if container.name in row.serving.containers]
    unwanted = [container for container in present if container.name not in row.serving.containers]
    if replaced:
        await run_all(*(_run_pre_stop(context, container) for container in unwanted))
    await run_all(*(context.engine.remove_container(container.id) for container in unwanted))
    await run_all(*(_start_again(context, container) for container in displaced(serving, unwanted)))
    in_use = {network for container in serving for network in container.networks}
    left = [found for found in await context.engine.objects(labels) if found.kind == "network"]
    await run_all(*(context.engine.remove_network(found.id) for found in left if found.name not in in_use))
    await claim.subnets.free(kept=in_use)
    await _discard_files(context, claim, row, labels)


async def _discard_files(context: WorkerContext, claim: Claim, row: Owned, labels: Mapping[str, str]) -> None:
    """What was mounted from the host by containers that are gone by now, asked anew: what is mounted stays."""
    mounted = {path for container in await context.engine.containers(labels) for path in container.binds}
    commits = {commit for commit in (row.serving_commit, row.candidate_commit) if commit is not None}
    await asyncio.to_thread(discard_files, context.settings, claim.preview, mounted, commits)


def displaced(serving: Sequence[ContainerStatus], others: Sequence[ContainerStatus]) -> list[ContainerStatus]:
    """Those of `serving` that ended because a newer one of `others` was to have their volume or folder to itself.

    One that had done its work ended before that newer one was made, and stays as it is. One that did it once more,
    for the commit that failed, may do it again: nothing tells it from one that was stopped.
    """
    return [
        container
        for container in serving
        if container.finished_at is not None
        and not container.running
        and any(
            container.created_at < other.created_at <= container.finished_at and container.volumes & other.volumes
            for other in others
        )
    ]


async def _run_pre_stop(context: WorkerContext, container: ContainerStatus) -> None:
    if wrong := await run_pre_stop(context.engine, container):
        _log.info("pre_stop failed", container=container.name, reason=wrong)


async def _start_again(context: WorkerContext, container: ContainerStatus) -> None:
    with contextlib.suppress(LaunchError):
        await context.engine.start(container.id)
        _log.info("started again", container=container.name)
