"""Containers that fail while they come up: what they printed last, and whether their end was their own doing."""

from orchestrator.ports.engine import ContainerStatus
from orchestrator.preview.errors import TemporaryError
from orchestrator.reconcile.liveness import was_ended_from_outside
from worker.containers.plan import KILLED_TRIES
from worker.deployment.deployment import Deployment

LOG_TAIL = 30
"""Lines of a container's output that a failure shows."""


async def output_tail(deployment: Deployment, container: str) -> tuple[str, ...]:
    """The last lines that a container printed, also recorded, with secrets blanked."""
    lines = tuple(map(deployment.journal.clean, await deployment.context.engine.logs(container, LOG_TAIL)))
    for line in lines:
        await deployment.journal.say(line)
    return lines


async def require_own_end(deployment: Deployment, service: str, status: ContainerStatus) -> None:
    """Return when a container that came up ended by itself, as far as anybody can tell.

    Raises TemporaryError when it was killed, as by a restart of the Engine: that says nothing about the commit.
    """
    attempts = (await deployment.claim.row()).attempts
    if was_ended_from_outside(status) and attempts < KILLED_TRIES:
        raise TemporaryError(f"service {service} was killed while it came up (exit code {status.exit_code})")
