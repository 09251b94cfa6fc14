"""Say what the variables and the policy changed, and copy the files that the stack binds from the repository."""

from orchestrator.compose.model import MountKind, Stack
from worker.binds import bind_source
from worker.deployment import Deployment
from worker.stack import read_stack


async def run(deployment: Deployment) -> None:
    stack, _ = await read_stack(deployment)
    for line in (*stack.warnings, *stack.notes):
        await deployment.journal.say(line)
    notes = [deployment.journal.clean(line) for line in (*stack.warnings, *stack.notes)]
    await deployment.hands.store.note(deployment.lease, deployment.number, notes)
    for path in bound_paths(stack):
        await _copy(deployment, path)


def bound_paths(stack: Stack) -> list[str]:
    """The paths of the repository that some service mounts, each once."""
    mounts = [mount for service in stack.services.values() for mount in service.volumes]
    return sorted({mount.source for mount in mounts if mount.kind is MountKind.BIND})


async def _copy(deployment: Deployment, path: str) -> None:
    target = bind_source(deployment.hands.settings, deployment.lease.preview, deployment.commit, path)
    await deployment.permit()
    target.parent.mkdir(parents=True, exist_ok=True)
    pull = deployment.pull
    if not await deployment.hands.sources.export(pull.repository, deployment.commit, path, str(target)):
        target.mkdir(parents=True, exist_ok=True)
        target.chmod(0o777)  # as empty as the folder that Compose would make, and writable for any user inside
        await deployment.journal.say(f"the repository has no {path}: an empty folder is mounted in its place")
