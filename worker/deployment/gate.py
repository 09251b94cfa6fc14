"""The gate: asked before every side effect whether this worker may still act, and this commit may still run."""

import asyncio
from dataclasses import dataclass

from orchestrator.preview import trust
from orchestrator.preview.errors import ForgeUnavailable, Superseded
from orchestrator.preview.state import PreviewId
from orchestrator.preview.trust import Pull, Remove, Run, Verdict, Wait
from orchestrator.runtime import fence
from orchestrator.store.store import Lease
from worker.context.context import WorkerContext

FACTS_SECONDS = 10.0
"""How old our knowledge of the pull request may be when we act on it: a lost delivery must not let code run."""

WATCH_SECONDS = 1.0
"""How often a running step is watched: after so long at most, a push or a close ends it."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the forge says about a pull request, and what follows."""

    pull: Pull | None
    verdict: Verdict


async def look(context: WorkerContext, preview: PreviewId) -> Look:
    """Ask the forge, and decide. Raises ForgeUnavailable."""
    if preview.is_template:
        return await _look_at_branch(context, preview)
    pull = await context.forge.pull(preview.repository, preview.number)
    if pull is None:
        return Look(None, Remove("the pull request, or our access to its repository, is gone"))
    permission = await context.forge.permission(preview.repository, pull.author) if pull.open else "none"
    return Look(pull, trust.may_run(pull, permission))


async def _look_at_branch(context: WorkerContext, preview: PreviewId) -> Look:
    """Whoever may push to a branch of the repository may run code here: its base branches need no further leave."""
    if not await context.store.templates.has_pulls(preview.repository):
        return Look(None, Remove("no pull request of its repository has a preview any more"))
    template = await context.queries.template(preview)
    branch = await context.forge.branch(preview.repository, template.branch) if template else None
    if branch is None:
        return Look(None, Remove("the branch, or our access to its repository, is gone"))
    pull = Pull(
        repository=preview.repository,
        repository_name=branch.repository_name,
        clone_url=branch.clone_url,
        number=preview.number,
        open=True,
        draft=False,
        title="",
        author="",
        author_is_bot=False,
        head_commit=branch.commit,
        head_branch=branch.name,
        head_repository=preview.repository,
        base_branch=branch.name,
    )
    return Look(pull, Run(branch.commit))


class Gate:
    """Stands between one run of one commit and the world."""

    def __init__(self, context: WorkerContext, lease: Lease, generation: int, commit: str) -> None:
        self._context = context
        self._lease = lease
        self._commit = commit
        self._looked_at = fence.now()
        self.generation = generation
        """The newest generation of which this run is known to be the answer."""

    async def permit(self) -> None:
        """Return when acting is allowed. Raises LeaseLost, Superseded or ForgeUnavailable when it is not."""
        newest = await self._context.store.renew(self._lease)
        if newest > self.generation or fence.now() - self._looked_at > FACTS_SECONDS:
            await self._look_again(newest)

    async def watch(self) -> None:
        """Keep the lease and ask again and again; ends by raising as soon as the answer is no."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            newest = await self._context.store.keep(self._lease)
            if newest is not None and newest > self.generation:
                try:
                    await self._look_again(newest)
                except ForgeUnavailable:
                    continue  # what runs may go on; before the next side effect somebody must know

    async def _look_again(self, newest: int) -> None:
        looked_at = fence.now()
        verdict = (await look(self._context, self._lease.preview)).verdict
        if verdict != Run(self._commit):
            raise Superseded(_why(verdict))
        if (await self._context.store.own(self._lease)).reset_requested > self.generation:
            raise Superseded("a new database was asked for")
        self.generation = newest
        self._looked_at = looked_at


async def keep(context: WorkerContext, lease: Lease) -> None:
    """Keep a lease for as long as something is done under it; ends by raising when it is lost."""
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        await context.store.keep(lease)


def _why(verdict: Verdict) -> str:
    match verdict:
        case Run(commit):
            return f"a newer commit was pushed: {commit[:12]}"
        case Wait(reason) | Remove(reason):
            return reason
