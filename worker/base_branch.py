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
from orchestrator.preview.errors import AuthorError, TemporaryError, Unavailable
from orchestrator.preview.names import host_name
from orchestrator.preview.state import PreviewId, State
from orchestrator.preview.trust import Pull
from orchestrator.store.encryption import DATABASE_PASSWORD
from orchestrator.store.store import Lease
from worker.cleanup.rollback import drop_unfinished
from worker.cleanup.unserving import discard_unserving
from worker.context.context import WorkerContext
from worker.deployment.deployment import Deployment
from worker.deployment.stack import read_migrations, read_prepared
from worker.steps import probe, teardown

_log = structlog.get_logger()


async def want(deployment: Deployment) -> None:
    """A pull request came up: have its base branch looked at, whose template the next one could begin with."""
    preview, pull, settings = deployment.lease.preview, deployment.pull, deployment.context.settings
    block = (await read_prepared(deployment)).stack.preview.database
    if preview.is_template or block.mode is not DatabaseMode.MANAGED or block.template is Template.EMPTY:
        return
    sources = deployment.context.sources
    if await read_migrations(sources, pull.repository, deployment.commit, block.migrations) is None:
        return
    host = host_name(settings.host_template, settings.domain, pull.repository_name, 0, suffix=str(pull.repository))
    template = PreviewId(pull.repository, 0)
    await deployment.context.store.templates.want(template, pull.repository_name, pull.base_branch, host)


async def is_whole(context: WorkerContext, lease: Lease, pull: Pull) -> bool:
    """Whether the template of this very commit is there: made by a run that was killed then, or for a while ago.

    What that run has left behind is removed.
    """
    found = templates.of_branch(await context.databases.templates(), pull.repository, pull.base_branch)
    if all(facts["commit"] != pull.head_commit for _, facts in found):
        return False
    await clean_up(context, lease)
    await _drop_older(context, pull)
    return True


async def require_quiet(context: WorkerContext) -> None:
    """Raises Unavailable, which no number of tries exhausts, while a pull request waits or is under way."""
    if await context.store.templates.pulls_under_way():
        raise Unavailable("pull requests come first")


async def finish(deployment: Deployment) -> None:
    """The last step of a base branch: once it answers, keep nothing of it but the database, closed for good."""
    context, lease, name = deployment.context, deployment.lease, deployment.database_name
    await probe.prove(deployment)
    await context.store.clear_candidate(lease)
    await discard_unserving(context, lease)
    facts = await _made_of(deployment)
    await _scrub(deployment)
    await deployment.permit()
    await context.databases.finish_template(name, facts)
    await _drop_older(context, deployment.pull)
    await context.databases.stock(name)
    await context.store.advance(lease, State.READY, f"{deployment.pull.base_branch} is a template")
    _log.info("template finished", repository=deployment.pull.repository, commit=deployment.commit)


async def clean_up(context: WorkerContext, lease: Lease) -> None:
    """Remove what making a template took, and one that was not finished."""
    await teardown.run(context, lease)
    await drop_unfinished(context, lease.preview.repository)


async def drop_all(context: WorkerContext, repository: int) -> None:
    """No pull request of the repository has a preview any more."""
    for template in await context.databases.templates():
        if template.repository == repository:
            await context.databases.remove(template.name)


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
