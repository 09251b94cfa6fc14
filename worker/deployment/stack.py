"""The Compose stack of a deployment's commit, with the preview's own variables and database in it."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from functools import partial

from orchestrator.codebase.alembic.revisions import MigrationTree, read_tree
from orchestrator.codebase.contents import Overlay
from orchestrator.compose.database import DatabaseUrls, ServerFacts
from orchestrator.compose.generated import COMPOSE_FILE, Generated, missing_compose_file, missing_dockerfiles
from orchestrator.compose.inject import Facts
from orchestrator.compose.model import Stack
from orchestrator.compose.prepare import Prepared, prepare
from orchestrator.compose.route import Route
from orchestrator.compose.services.stack import NAMES, find
from orchestrator.compose.services.x_preview import declared_secrets
from orchestrator.ports.sources import Sources
from orchestrator.preview.errors import ComposeError, Place
from worker.deployment.commit_files import commit_files
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
    async with commit_files(sources, repository, commit) as files:
        return await files.answer(lambda: read_tree(files, override))


async def _read(deployment: Deployment) -> Prepared:
    sources, repository, commit = deployment.context.sources, deployment.pull.repository, deployment.commit
    async with commit_files(sources, repository, commit) as present:
        files, path, composed = await present.answer(lambda: _with_compose_file(present))
        facts = await _facts(deployment, await present.answer(lambda: declared_secrets(files, path)))
        prepared = await present.answer(lambda: prepare(files, path, facts))
        if prepared.database.replaces is not None:  # who has no use for the server must not wait for it
            known = replace(facts, server=await _server(deployment))
            prepared = await present.answer(lambda: prepare(files, path, known))
        stack, dockerfiles = await present.answer(partial(missing_dockerfiles, present, prepared.stack))
        generated = (*composed, *dockerfiles)
        if generated:
            paths = frozenset(await sources.paths(repository, commit))
            await present.answer(lambda: _refuse_links(present, paths, generated))
    notes = [line for each in generated for line in await _told(deployment, each)]
    return replace(prepared, stack=replace(stack, notes=(*notes, *stack.notes)))


def _with_compose_file(present: Mapping[str, bytes]) -> tuple[Mapping[str, bytes], str, tuple[Generated, ...]]:
    """The files with a Compose file among them, and its path."""
    path = find(present)
    if path is not None:
        return present, path, ()
    made = missing_compose_file(present)
    return Overlay(present, made.path, made.text.encode()), made.path, (made,)


def _refuse_links(files: Container[str], paths: Container[str], generated: Iterable[Generated]) -> None:
    """Raises ComposeError where a symbolic link, which is none of the `files`, would give way to what was generated."""
    for each in generated:
        for path in (*NAMES, "Dockerfile") if each.path == COMPOSE_FILE else (each.path,):
            if path in paths and path not in files:
                what = "it is a symbolic link, which previewd does not follow"
                raise ComposeError(Place(file=path), what, "Commit the file itself in its place.")


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
