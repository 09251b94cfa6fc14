"""Have a Postgres database and a role for this pull request, which no other preview can use, as the commit needs it.

A new one is a copy of the base branch's template where that fits. One that exists keeps its data, unless the repository
asks for another; and before a commit changes what an older one serves from, there is a way back (`cleanup.rollback`).
"""

import secrets
from dataclasses import dataclass, replace

from orchestrator.codebase.alembic.revisions import MigrationTree, diagnose
from orchestrator.codebase.files import migration_files
from orchestrator.compose.model import DatabaseBlock, DatabaseMode, Template
from orchestrator.databases import resets, templates
from orchestrator.databases.record import DatabaseRecord, Rollback
from orchestrator.databases.templates import Origin
from orchestrator.preview.names import MARK_LENGTH
from orchestrator.preview.state import PreviewId, State
from orchestrator.store.encryption import DATABASE_PASSWORD
from worker.admission import require_connections
from worker.cleanup.rollback import discard_snapshot, drop_unfinished, take_back
from worker.cleanup.unserving import discard_unserving
from worker.deployment.deployment import Deployment
from worker.deployment.stack import read_migrations, read_prepared

_TOLD_FAULTS = 10
"""So many faults of the migrations are told: a commit may have thousands."""


async def run(deployment: Deployment) -> None:
    """For a pull request."""
    is_managed = await _is_managed(deployment)
    await _take_back_what_an_earlier_run_left(deployment)
    if not is_managed:
        return
    work = await _look(deployment)
    if work.record is None:
        await _begin(work)
    else:
        await _keep_or_reset(work, work.record)
        await _have(work)
    await _say(work)


async def run_template(deployment: Deployment) -> None:
    """For a base branch: a template holds what that makes, and nothing of an attempt that was cut short."""
    if not await _is_managed(deployment):
        return
    work = await _look(deployment)
    await deployment.permit()
    await discard_unserving(deployment.context, deployment.claim)
    await drop_unfinished(deployment.context, deployment.pull.repository)
    await require_connections(deployment)
    await _have(work)
    await _say(work)


async def _is_managed(deployment: Deployment) -> bool:
    """Whether the database is previewd's to make."""
    mode = (await read_prepared(deployment)).database.mode
    if mode is not DatabaseMode.MANAGED:
        await deployment.journal.say(f"the stack has its own database: mode {mode.value}")
    return mode is DatabaseMode.MANAGED


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """One commit and the database that it finds."""

    deployment: Deployment
    block: DatabaseBlock
    extensions: frozenset[str]
    tree: MigrationTree | None
    """None for a commit without Alembic."""
    has_migrations: bool
    """Of whatever tool."""
    record: DatabaseRecord | None
    serves: bool
    """Whether an older commit works with the database."""
    reset_requested: bool

    @property
    def name(self) -> str:
        return self.deployment.database_name


async def _look(deployment: Deployment) -> _Work:
    prepared, context = await read_prepared(deployment), deployment.context
    repository, commit = deployment.pull.repository, deployment.commit
    block = prepared.stack.preview.database
    row = await deployment.claim.row()
    return _Work(
        deployment=deployment,
        block=block,
        extensions=frozenset(prepared.database.needs.extensions),
        tree=await read_migrations(context.sources, repository, commit, block.migrations),
        has_migrations=bool(migration_files(await context.sources.paths(repository, commit))),
        record=row.database,
        serves=row.serving_commit is not None,
        reset_requested=row.reset_is_requested,
    )


async def _take_back_what_an_earlier_run_left(deployment: Deployment) -> None:
    """A commit that was superseded on its way up has changed what the one before it serves from.

    It may be this one, when a new database was asked for meanwhile.
    """
    context, claim = deployment.context, deployment.claim
    row = await claim.row()
    record, reset_requested = row.database, row.reset_is_requested
    rollback = None if record is None else record.rollback
    if rollback and (rollback.commit != deployment.commit or (reset_requested and rollback.reset != resets.ASKED_FOR)):
        await deployment.permit()
        await discard_unserving(context, claim)
        await take_back(context, claim)
    await discard_snapshot(context, claim)


# A new database


async def _begin(work: _Work) -> None:
    origin = await _origin(work)
    await require_connections(work.deployment)
    await _have(work, origin.source)
    story = f"the database began {origin.said}" if origin.said else ""
    await _keep(work, _of_this_commit(work, DatabaseRecord(commit="", origin=story)))


async def _origin(work: _Work) -> Origin:
    """What a new database begins as: a copy of the base branch's template, where one fits."""
    context, pull = work.deployment.context, work.deployment.pull
    if work.block.template is Template.EMPTY:
        return Origin(source=None, said="empty, as x-preview asks")
    made = await context.databases.templates()
    if work.tree is None:
        is_missed = work.has_migrations or templates.of_branch(made, pull.repository, pull.base_branch)
        why = "empty: without migrations of Alembic nothing tells whether a copy would fit"
        return Origin(source=None, said=why if is_missed else "")
    found = templates.origin(made, pull.repository, pull.base_branch, work.tree)
    if found is not None:
        return found
    making = await context.queries.template(PreviewId(pull.repository, 0))
    if making is not None and making.branch == pull.base_branch and making.state is State.FAILED:
        return Origin(source=None, said=f"empty: {pull.base_branch}'s template could not be made: {making.reason}")
    return Origin(source=None, said=f"empty: {pull.base_branch} has no template yet")


# A database that has data


async def _keep_or_reset(work: _Work, record: DatabaseRecord) -> None:
    rollback = record.rollback
    if rollback is None:
        password = await work.deployment.secret(DATABASE_PASSWORD)
        revisions = await work.deployment.context.databases.revisions(work.name, password)
        reason = await _reset_reason(work, record, revisions)
        if work.serves and (reason or _may_migrate(work, record, revisions)):
            rollback = await _plan_the_way_back(work, record, revisions, reason)
        elif reason:
            await discard_unserving(work.deployment.context, work.deployment.claim)
            origin = await _put_anew(work)
            await _keep(work, _of_this_commit(work, replace(record, origin=_told(origin, reason))))
        else:
            await _keep(work, _of_this_commit(work, record))
    if rollback is not None and not rollback.done:
        await _leave_a_way_back(work, replace(record, rollback=rollback), rollback)


async def _reset_reason(work: _Work, record: DatabaseRecord, revisions: frozenset[str] | None) -> str:
    deployment, policy = work.deployment, work.block.reset
    is_new = record.commit != deployment.commit
    follows = not is_new or not resets.asks_for_descent(policy)
    if not follows:
        repository = deployment.pull.repository
        follows = await deployment.context.forge.is_ancestor(repository, record.commit, deployment.commit)
    return resets.reset_reason(
        policy,
        requested=work.reset_requested,
        is_new=is_new,
        follows=follows,
        changed=resets.changed_migrations(record.migrations, work.tree, revisions),
    )


def _may_migrate(work: _Work, record: DatabaseRecord, revisions: frozenset[str] | None) -> bool:
    """Whether this commit may change the tables. What cannot be read is taken to do so when the commit is new."""
    if work.tree is not None:
        return resets.will_migrate(work.tree, revisions)
    return work.has_migrations and record.commit != work.deployment.commit


async def _plan_the_way_back(
    work: _Work, record: DatabaseRecord, revisions: frozenset[str] | None, reason: str
) -> Rollback:
    """Write down what is about to be done, before any of it is."""
    deployment = work.deployment
    known = work.tree is not None and revisions is not None
    rollback = Rollback(
        commit=deployment.commit,
        snapshot=deployment.names.way_back(secrets.token_hex(MARK_LENGTH // 2)),
        revisions=tuple(sorted(revisions)) if known and revisions is not None else None,
        reset=reason,
        migrations=resets.digests(work.tree),
    )
    await _keep(work, replace(record, rollback=rollback))
    return rollback


async def _leave_a_way_back(work: _Work, record: DatabaseRecord, rollback: Rollback) -> None:
    deployment = work.deployment
    await deployment.permit()
    await deployment.context.databases.snapshot(work.name, rollback.snapshot)
    await deployment.journal.say(f"kept a copy of the database as {rollback.snapshot}: this commit may change it")
    if rollback.reset:
        origin = await _put_anew(work)
        rollback = replace(rollback, origin=_told(origin, rollback.reset))
    await _keep(work, replace(record, rollback=replace(rollback, done=True)))


async def _put_anew(work: _Work) -> Origin:
    origin = await _origin(work)
    await work.deployment.permit()
    await work.deployment.context.databases.reset(work.name, source=origin.source, extensions=work.extensions)
    return origin


def _told(origin: Origin, reason: str) -> str:
    return f"the database was made anew, because {reason}" + (f"; it began {origin.said}" if origin.said else "")


# All of them


async def _have(work: _Work, source: str | None = None) -> None:
    deployment = work.deployment
    password = await deployment.secret(DATABASE_PASSWORD)
    await deployment.permit()
    access = await deployment.context.databases.ensure(work.name, password, source=source, extensions=work.extensions)
    await deployment.journal.say(f"database {access.database} on {access.host}:{access.port}")


def _of_this_commit(work: _Work, record: DatabaseRecord) -> DatabaseRecord:
    return replace(record, commit=work.deployment.commit, migrations=resets.digests(work.tree))


async def _keep(work: _Work, record: DatabaseRecord) -> None:
    await work.deployment.claim.keep_database(record)


async def _say(work: _Work) -> None:
    """In the log now, and later among the notes of the comment."""
    deployment = work.deployment
    record = (await deployment.claim.row()).database
    faults = () if work.tree is None else diagnose(work.tree)
    notes = [
        *([record.story] if record is not None and record.story else []),
        *(f"{fault.place}: {fault.message}. {fault.remedy}" for fault in faults[:_TOLD_FAULTS]),
    ]
    deployment.notes += notes
    for note in notes:
        await deployment.journal.say(note)
