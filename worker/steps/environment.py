"""Say what the variables and the policy changed, and write the files that the stack's containers mount.

Secrets and configs are files on the host, bound read-only: nothing is ever copied into a container, whose own links
could lead such a copy anywhere.
"""

import json
import os
import secrets
from dataclasses import asdict
from pathlib import Path

from orchestrator.compose.engine.capped import capped
from orchestrator.compose.engine.request import files_of
from orchestrator.compose.model import FileMount, MountKind, Stack
from orchestrator.compose.wiring import wiring
from orchestrator.preview.errors import ComposeError, OperatorError
from orchestrator.runtime import fence
from orchestrator.runtime.concurrency import in_thread
from orchestrator.runtime.data_dir import write_private
from worker.containers.host_files import (
    READABLE_BY_ALL,
    HostFiles,
    binds_folder,
    content_name,
    copies_folder,
    file_key,
    index_file,
    remove_file,
    secrets_folder,
    tree_digest,
)
from worker.containers.plan import limits_of
from worker.deployment.deployment import Deployment
from worker.deployment.stack import read_prepared


async def run(deployment: Deployment) -> None:
    prepared = await read_prepared(deployment)
    stack = prepared.stack
    lines = (*stack.warnings, *stack.notes, *capped(stack, limits_of(deployment.context.settings)))
    for line in lines:
        await deployment.journal.say(line)
    notes = [deployment.journal.clean(line) for line in (*deployment.notes, *lines)]
    await deployment.claim.deployments.note(deployment.number, notes)
    told = wiring(prepared, deployment.journal.clean)
    await deployment.claim.deployments.keep_wiring(deployment.number, told)
    await _write_files(deployment, stack)


def bound_paths(stack: Stack) -> list[str]:
    """The paths of the repository that some service mounts, each once."""
    mounts = [mount for service in stack.services.values() for mount in service.volumes]
    return sorted({mount.source for mount in mounts if mount.kind is MountKind.BIND})


async def _write_files(deployment: Deployment, stack: Stack) -> None:
    copies = {path: await _copy(deployment, path) for path in bound_paths(stack)}
    wanted = {file_key(file): file for service in stack.services.values() for file in files_of(service)}
    files = {key: await _write(deployment, stack, file) for key, file in wanted.items()}
    if not copies and not files:
        return
    settings, preview = deployment.context.settings, deployment.claim.preview
    fence.require()
    binds_folder(settings, preview).mkdir(parents=True, exist_ok=True)
    index = HostFiles(copies=copies, files=files)
    write_private(index_file(settings, preview, deployment.commit), json.dumps(asdict(index)))


async def _copy(deployment: Deployment, path: str) -> str:
    """Copy a path of the commit to where its content says, unless an equal one lies there; returns where."""
    folder = copies_folder(deployment.context.settings, deployment.claim.preview)
    new = folder / f"new-{secrets.token_hex(8)}"
    await deployment.permit()
    fence.require()
    folder.mkdir(parents=True, exist_ok=True)
    pull = deployment.pull
    try:
        if not await deployment.context.sources.export(pull.repository, deployment.commit, path, str(new)):
            new.mkdir()
            new.chmod(0o777)  # as empty as the folder that Compose would make, and writable for any user inside
            await deployment.journal.say(f"the repository has no {path}: an empty folder is mounted in its place")
        return await in_thread(_keep, new, folder, path)
    finally:
        await in_thread(remove_file, new)


def _keep(new: Path, folder: Path, path: str) -> str:
    """An equal copy that containers have written to since stays as it is, as a checkout on a disk would."""
    kept = folder / tree_digest(new, path)
    if not kept.exists():
        fence.require()
        new.rename(kept)
    return str(kept)


async def _write(deployment: Deployment, stack: Stack, file: FileMount) -> str:
    """Write a secret or config where its content says; returns where."""
    content = await _content(deployment, stack, file)
    folder = secrets_folder(deployment.context.settings, deployment.claim.preview)
    await deployment.permit()
    fence.require()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / content_name(file, content)
    if not path.exists():
        _write_once(path, content, file)
    return str(path)


async def _content(deployment: Deployment, stack: Stack, file: FileMount) -> bytes:
    if file.path is None:
        return (file.content or "").encode()
    found = await deployment.context.sources.read(deployment.pull.repository, deployment.commit, [file.path])
    if file.path not in found:
        place = next(service.place for service in stack.services.values() if file in files_of(service))
        raise ComposeError(place, f"`{file.name}` is to hold {file.path}, which is no file of the repository", "add it")
    return found[file.path]


def _write_once(path: Path, content: bytes, file: FileMount) -> None:
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with open(new, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as stream:
        stream.write(content)
    if file.uid is not None or file.gid is not None:
        _give(new, file)
    new.chmod(READABLE_BY_ALL if file.mode is None else file.mode)
    new.replace(path)


def _give(path: Path, file: FileMount) -> None:
    try:
        os.chown(path, -1 if file.uid is None else file.uid, -1 if file.gid is None else file.gid)
    except PermissionError:
        raise OperatorError(
            f"`{file.name}` is to belong to user {file.uid}, and previewd may not give files away",
            "run previewd as root, or leave `uid` and `gid` out of the Compose file",
        ) from None
