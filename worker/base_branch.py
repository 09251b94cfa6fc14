"""The template of a base branch: what its own image, migrations and seed make of an empty database, to copy from.

A base branch is brought up like a pull request, under the number 0 that no pull request has, on a database that is
called as a template is. Once it answers its health path, its containers go and the database is closed for good. Lease,
gate, retries, leak report and removal are thus those of every preview; only nobody is told, and nothing serves.

It never keeps a pull request waiting: it begins when none is under way, takes no slot, and stands behind the line for
connections. The old template serves until the new one is whole.
"""

import structlog

from orchestrator.compose.model import DatabaseMode, Template
from orchestrator.databases import templates
from orchestrator.ports.forge import Branch
from orchestrator.preview.errors import AuthorError, NoRoom, TemporaryError, Unavailable
from orchestrator.preview.names import host_name, template
from orchestrator.preview.state import PreviewId, State, Step
from orchestrator.preview.trust import Pull, Remove, Run
from orchestrator.store.claims import Claim
from orchestrator.store.encryption import DATABASE_PASSWORD
from orchestrator.store.owned import Owned
from worker.admission import LOOK_SECONDS
from worker.cleanup.rollback import drop_unfinished
from worker.cleanup.unserving import discard_unserving
from worker.context.context import WorkerContext
from worker.deployment.deployment import Deployment, Steps
from worker.deployment.gate import Look
from worker.deployment.stack import read_migrations, read_prepared
from worker.steps import build, database, environment, launch, probe, source, teardown

_log = structlog.get_logger()


async def want(deployment: Deployment) -> None:
    """A pull request came up: have its base branch looked at, whose template the next one could begin with."""
    pull, settings = deployment.pull, deployment.context.settings
    block = (await read_prepared(deployment)).stack.preview.database
    if block.mode is not DatabaseMode.MANAGED or block.template is Template.EMPTY:
        return
    sources = deployment.context.sources
    if await read_migrations(sources, pull.repository, deployment.commit, block.migrations) is None:
        return
    host = host_name(settings.host_template, settings.domain, pull.repository_name, 0, suffix=str(pull.repository))
    await deployment.context.store.templates.want(
        PreviewId(pull.repository, 0), pull.repository_name, pull.base_branch, host
    )


class BaseBranch:
    """See `worker.converge.Subject`."""

    @property
    def steps(self) -> Steps:
        """A pull request's, but for the end: nothing serves."""
        return (
            (Step.SOURCE, source.run),
            (Step.BUILD, build.run),
            (Step.DATABASE, database.run_template),
            (Step.ENVIRONMENT, environment.run),
            (Step.LAUNCH, launch.run),
            (Step.PROBE, finish),
        )

    async def look(self, context: WorkerContext, preview: PreviewId) -> Look:
        """Whoever may push to a branch of the repository may run code here: base branches need no further leave."""
        if not await context.store.templates.has_pulls(preview.repository):
            return Look(None, Remove("no pull request of its repository has a preview any more"))
        known = await context.queries.template(preview)
        branch = await context.forge.branch(preview.repository, known.branch) if known else None
        if branch is None:
            return Look(None, Remove("the branch, or our access to its repository, is gone"))
        return Look(_as_pull(preview, branch), Run(branch.commit))

    async def is_there(self, context: WorkerContext, claim: Claim, pull: Pull) -> bool:
        """Whether the template of this very commit is there: made by a run that was killed then, or for a while ago.

        What that run has left behind is removed.
        """
        found = templates.of_branch(await context.databases.templates(), pull.repository, pull.base_branch)
        if all(facts["commit"] != pull.head_commit for _, facts in found):
            return False
        await _clean_up(context, claim)
        await _drop_older(context, pull)
        return True

    async def enter(self, context: WorkerContext, claim: Claim, row: Owned, pull: Pull, reason: str) -> bool:  # noqa: ARG002 - see Subject
        """Without a slot, and only when no pull request has to wait for that. Raises Unavailable while one does."""
        await claim.advance(State.QUEUED, reason, commit=pull.head_commit)
        if await self.is_there(context, claim, pull):
            await claim.advance(State.READY, f"{pull.base_branch} is a template")
            return False
        if await context.store.templates.pulls_under_way():
            raise Unavailable("pull requests come first")
        return True

    def database_name(self, context: WorkerContext, claim: Claim, pull: Pull) -> str:  # noqa: ARG002 - see Subject
        """That of the template which this commit is to fill."""
        return template(context.settings.instance, pull.repository, f"{pull.base_branch}\0{pull.head_commit}")

    async def no_room(self, context: WorkerContext, claim: Claim, error: NoRoom) -> None:  # noqa: ARG002 - see Subject
        """It stands in no line. Raises Unavailable, which no number of tries exhausts."""
        raise Unavailable(error.message, LOOK_SECONDS) from error

    async def withdraw(self, context: WorkerContext, claim: Claim) -> None:
        """A template that is not finished is worth nothing."""
        await _clean_up(context, claim)

    async def discard(self, context: WorkerContext, claim: Claim, *, replaced: bool) -> None:  # noqa: ARG002 - see Subject
        """Nothing of a base branch serves."""
        await _clean_up(context, claim)

    async def came_up(self, deployment: Deployment) -> None:
        """Nobody waits for it."""

    async def removed(self, context: WorkerContext, claim: Claim) -> None:
        """No pull request of the repository has a preview any more."""
        for each in await context.databases.templates():
            if each.repository == claim.preview.repository:
                await context.databases.remove(each.name)


async def finish(deployment: Deployment) -> None:
    """The last step of a base branch: once it answers, keep nothing of it but the database, closed for good."""
    context, claim, name = deployment.context, deployment.claim, deployment.database_name
    await probe.prove(deployment)
    await claim.serving.clear_candidate()
    await discard_unserving(context, claim)
    facts = await _made_of(deployment)
    await _scrub(deployment)
    await deployment.permit()
    await context.databases.finish_template(name, facts)
    await _drop_older(context, deployment.pull)
    await context.databases.stock(name)
    await claim.advance(State.READY, f"{deployment.pull.base_branch} is a template")
    _log.info("template finished", repository=deployment.pull.repository, commit=deployment.commit)


async def _clean_up(context: WorkerContext, claim: Claim) -> None:
    """Remove what making a template took, and one that was not finished."""
    await teardown.run(context, claim)
    await drop_unfinished(context, claim.preview.repository)


def _as_pull(preview: PreviewId, branch: Branch) -> Pull:
    """The steps bring up a pull request's commit; this one is of nobody's."""
    return Pull(
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


async def _made_of(deployment: Deployment) -> dict[str, str]:
    context, pull = deployment.context, deployment.pull
    block = (await read_prepared(deployment)).stack.preview.database
    tree = await read_migrations(context.sources, pull.repository, deployment.commit, block.migrations)
    password = await deployment.secret(DATABASE_PASSWORD)
    revisions = await context.databases.revisions(deployment.database_name, password)
    if revisions is None:
        raise TemporaryError("the template does not say at which revision it is")
    if tree is None or not revisions:
        raise AuthorError(
            "nothing migrated the database with Alembic", "run `alembic upgrade head` before the application starts"
        )
    return dict(templates.made_of(pull.base_branch, deployment.commit, tree, revisions))


async def _scrub(deployment: Deployment) -> None:
    """Run the branch's own script, which takes out what previews should not hold, as the role that made the rest."""
    context, pull = deployment.context, deployment.pull
    path = (await read_prepared(deployment)).stack.preview.database.scrub
    if path is None:
        return
    found = await context.sources.read(pull.repository, deployment.commit, [path])
    if path not in found:
        raise AuthorError(f"x-preview.database.scrub names {path}, which is no file of {pull.base_branch}", "add it")
    await deployment.permit()
    script, password = found[path].decode(errors="replace"), await deployment.secret(DATABASE_PASSWORD)
    try:
        await context.databases.run_script(deployment.database_name, password, script)
    except AuthorError as error:
        error.message = f"{path}: {error.message}"
        raise
    await deployment.journal.say(f"ran {path}")


async def _drop_older(context: WorkerContext, pull: Pull) -> None:
    for older, facts in templates.of_branch(await context.databases.templates(), pull.repository, pull.base_branch):
        if facts["commit"] != pull.head_commit:
            await context.databases.remove(older.name)
