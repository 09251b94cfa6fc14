"""A pull request, for `converge`: it needs a slot, serves visitors, and gets its database back when a commit fails."""

from orchestrator.preview.errors import NoRoom
from orchestrator.preview.state import PreviewId, Step
from orchestrator.preview.trust import Pull, Remove, may_run
from orchestrator.store.claims import Claim
from orchestrator.store.owned import Owned
from worker import admission, base_branch
from worker.cleanup.rollback import discard_snapshot, withdraw
from worker.cleanup.unserving import discard_unserving
from worker.context.context import WorkerContext
from worker.deployment.deployment import Deployment
from worker.deployment.gate import Look
from worker.steps import build, database, environment, launch, probe, source


class PullRequest:
    """See `worker.converge.Subject`."""

    steps = (
        (Step.SOURCE, source.run),
        (Step.BUILD, build.run),
        (Step.DATABASE, database.run),
        (Step.ENVIRONMENT, environment.run),
        (Step.LAUNCH, launch.run),
        (Step.PROBE, probe.run),
    )

    async def look(self, context: WorkerContext, preview: PreviewId) -> Look:
        """What GitHub says of the pull request, and whether its author may run code here."""
        pull = await context.forge.pull(preview.repository, preview.number)
        if pull is None:
            return Look(None, Remove("the pull request, or our access to its repository, is gone"))
        permission = await context.forge.permission(preview.repository, pull.author) if pull.open else "none"
        return Look(pull, may_run(pull, permission))

    async def is_there(self, context: WorkerContext, claim: Claim, pull: Pull) -> bool:  # noqa: ARG002 - see Subject
        """What serves is looked at by `worker.serving`."""
        return True

    async def enter(self, context: WorkerContext, claim: Claim, row: Owned, pull: Pull, reason: str) -> bool:
        """Return with a slot of this machine, always True. Raises NoRoom without one."""
        await admission.enter(context, claim, row, pull.head_commit, reason)
        return True

    def database_name(self, context: WorkerContext, claim: Claim, pull: Pull) -> str:  # noqa: ARG002 - see Subject
        """The preview's own."""
        return context.names(claim.preview).database

    async def no_room(self, context: WorkerContext, claim: Claim, error: NoRoom) -> None:
        """It waits in line."""
        await admission.join(context, claim, error)

    async def withdraw(self, context: WorkerContext, claim: Claim) -> None:
        """Its database goes back to what the serving commit had."""
        await withdraw(context, claim)

    async def discard(self, context: WorkerContext, claim: Claim, *, replaced: bool) -> None:
        """Older containers, and the copy of the database that nobody goes back to."""
        await discard_unserving(context, claim, replaced=replaced)
        await discard_snapshot(context, claim)

    async def came_up(self, deployment: Deployment) -> None:
        """The next pull request could begin with a copy of what the base branch makes."""
        await base_branch.want(deployment)

    async def removed(self, context: WorkerContext, claim: Claim) -> None:
        """Nothing but what every preview has."""
