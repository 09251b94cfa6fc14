"""The Compose stack of a deployment's commit, with the preview's own variables and database in it."""

from collections.abc import Mapping
from dataclasses import replace

from orchestrator.codebase.alembic.revisions import MigrationTree, read_tree
from orchestrator.codebase.files import Overlay, wanted
from orchestrator.compose.database import DatabaseUrls, ServerFacts
from orchestrator.compose.generated import Generated, lacking_folders, missing_compose_file, missing_dockerfiles
from orchestrator.compose.inject import Facts
from orchestrator.compose.model import Stack
from orchestrator.compose.prepare import Prepared, prepare
from orchestrator.compose.route import Route
from orchestrator.compose.services.stack import find
from orchestrator.compose.services.x_preview import declared_secrets
from orchestrator.ports.sources import Sources
from worker.deployment.commit_files import RepositoryFiles
from worker.deployment.deployment import JWT_SECRET, Deployment


async def read_stack(deployment: Deployment) -> tuple[Stack, Route]:
    """The stack as it starts, and its routed service; what the repository lacks is generated, and said in the log.

    Raises ComposeError, and AuthorError where nothing is recognised that a Compose file could be generated from.
    """
    prepared = await read_prepared(deployment)
    return prepared.stack, prepared.route


async def read_prepared(deployment: Deployment) -> Prepared:
    """The same, and how the stack came to its database."""
    if deployment.prepared is None:
        deployment.prepared = await _read(deployment)
    return deployment.prepared


async def read_migrations(sources: Sources, repository: int, commit: str, override: str | None) -> MigrationTree | None:
    """The Alembic revisions of a commit; None where it has none. `override` is `x-preview.database.migrations`."""
    files = await RepositoryFiles.of(sources, repository, commit)
    return await files.answer(lambda: read_tree(files, override))


async def _read(deployment: Deployment) -> Prepared:
    sources, repository = deployment.context.sources, deployment.pull.repository
    present = await RepositoryFiles.of(sources, repository, deployment.commit)
    files, path, generated = await _compose_file(present)
    facts = await _facts(deployment, await present.answer(lambda: declared_secrets(files, path)))
    prepared = await present.answer(lambda: prepare(files, path, facts))
    if prepared.database.replaces is not None:  # who has no use for the server must not wait for it
        known = replace(facts, server=await _server(deployment))
        prepared = await present.answer(lambda: prepare(files, path, known))
    stack, dockerfiles = await _with_dockerfiles(present, prepared.stack)
    notes = [line for each in (*generated, *dockerfiles) for line in await _told(deployment, each)]
    return replace(prepared, stack=replace(stack, notes=(*notes, *stack.notes)))


async def _compose_file(present: RepositoryFiles) -> tuple[Mapping[str, bytes], str, tuple[Generated, ...]]:
    """The files with a Compose file among them, and its path."""
    path = find(present)
    if path is not None:
        return present, path, ()
    await present.fetch_all(wanted(present, "."))
    made = await present.answer(lambda: missing_compose_file(present))
    return Overlay(present, made.path, made.text.encode()), made.path, (made,)


async def _with_dockerfiles(present: RepositoryFiles, stack: Stack) -> tuple[Stack, tuple[Generated, ...]]:
    """The stack with a Dockerfile for each build that has none, and those that were generated for it."""
    await present.fetch_all([each for folder in lacking_folders(present, stack) for each in wanted(present, folder)])
    return await present.answer(lambda: missing_dockerfiles(present, stack))


async def _told(deployment: Deployment, generated: Generated) -> tuple[str, ...]:
    """Put the text into the log, from where people can commit it; returns what the pull request is told."""
    for line in generated.lines():
        await deployment.journal.say(line)
    return generated.said, *generated.notes


async def _facts(deployment: Deployment, declared: tuple[str, ...]) -> Facts:
    access = await deployment.database()
    return Facts(
        host=deployment.host,
        url=deployment.context.settings.preview_url(deployment.host),
        pull=deployment.pull.number,
        repository=deployment.pull.repository_name,
        branch=deployment.pull.head_branch,
        commit=deployment.commit,
        secrets=await deployment.secrets([JWT_SECRET, *declared]),
        database=DatabaseUrls(
            host=access.host, port=access.port, user=access.role, password=access.password, database=access.database
        ),
    )


async def _server(deployment: Deployment) -> ServerFacts:
    return await deployment.context.databases.facts()
