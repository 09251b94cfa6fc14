"""What a failed deployment has to do with its database: said from its last lines, its migrations and its limits."""

from orchestrator.preview.errors import LaunchError, PreviewdError, ProbeError
from orchestrator.reporting.remedies import database_remedy
from worker.deployment.deployment import Deployment
from worker.deployment.stack import read_migrations


async def explain(deployment: Deployment, error: PreviewdError) -> None:
    """Give the error the remedy that its lines and the commit's migrations suggest, if they suggest one."""
    if not isinstance(error, LaunchError | ProbeError) or not error.log_tail:
        return
    override = deployment.prepared.stack.preview.database.migrations if deployment.prepared else None
    tree = await read_migrations(deployment.context.sources, deployment.pull.repository, deployment.commit, override)
    limit = deployment.context.settings.connections_per_preview
    error.remedy = database_remedy(error.log_tail, tree, limit) or error.remedy
