"""What a failed deployment tells: the remedy that its last lines suggest, and no secret."""

import contextlib

from orchestrator.preview.errors import LaunchError, PreviewdError, ProbeError
from orchestrator.reporting.remedies import remedy_for
from worker.deployment.deployment import Deployment
from worker.deployment.stack import read_migrations


async def explain(deployment: Deployment, error: PreviewdError) -> None:
    """Make the error fit to be told. A step's own remedy stands where the output suggests none."""
    if isinstance(error, LaunchError | ProbeError) and error.log_tail:
        error.remedy = await _remedy(deployment, error.log_tail) or error.remedy
    deployment.journal.conceal_in(error)


async def _remedy(deployment: Deployment, lines: tuple[str, ...]) -> str:
    override = deployment.prepared.stack.preview.database.migrations if deployment.prepared else None
    tree = None
    with contextlib.suppress(PreviewdError):  # what cannot be read explains nothing, and hides no failure
        tree = await read_migrations(
            deployment.context.sources, deployment.pull.repository, deployment.commit, override
        )
    return remedy_for(lines, tree, deployment.context.settings.connections_per_preview)
