"""Repositories, their pull requests, and who may do what in them."""

# ruff: noqa: FAST003 - the dependencies read what the paths number

from typing import Literal

from fastapi import APIRouter, HTTPException, status

from tests.forge.payloads import (
    Json,
    permission_object,
    pull_request_object,
    pull_request_summary,
    repository_object,
)
from tests.forge.rest.context import ContextDependency, PullDependency, RepositoryDependency, found
from tests.forge.rest.paging import PagerDependency

router = APIRouter()


@router.get("")
async def get_repository(repository: RepositoryDependency, context: ContextDependency) -> Json:
    return repository_object(context.addresses, repository)


@router.get("/pulls")
async def list_pulls(
    repository: RepositoryDependency,
    context: ContextDependency,
    pager: PagerDependency,
    state: Literal["open", "closed", "all"] = "open",
    head: str | None = None,
    base: str | None = None,
) -> list[Json]:
    """The newest first; `head` is written `owner:branch`."""
    pulls = [
        pull
        for pull in reversed(list(repository.pulls.values()))
        if state in {"all", pull.state}
        and head in {None, f"{pull.head_owner.login}:{pull.head_branch}"}
        and base in {None, pull.base_branch}
    ]
    return [pull_request_summary(context.addresses, pull) for pull in pager.cut(pulls)]


@router.get("/pulls/{number}")
async def get_pull(pull: PullDependency, context: ContextDependency) -> Json:
    return pull_request_object(context.addresses, pull)


@router.get("/collaborators/{login}/permission")
async def get_permission(login: str, repository: RepositoryDependency, context: ContextDependency) -> Json:
    """Accounts of Apps are no users here: GitHub answers 404 for them as for names that nobody has."""
    user = context.state.users.get(login)
    if user is None or user.type == "Bot":
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"{login} is not a user")
    return permission_object(context.addresses, repository, user)


@router.get("/branches/{branch:path}")
async def get_branch(branch: str, repository: RepositoryDependency, context: ContextDependency) -> Json:
    """A branch and its newest commit; its name may hold slashes."""
    sha = found(context.bare(repository).resolve(f"refs/heads/{branch}"))
    return {"name": branch, "commit": {"sha": sha}, "protected": False}


@router.get("/compare/{base}...{head}")
async def compare(base: str, head: str, repository: RepositoryDependency, context: ContextDependency) -> Json:
    """How two commits stand to each other; 404 when the repository has not both."""
    bare = context.bare(repository)
    older, newer = found(bare.resolve(base)), found(bare.resolve(head))
    if older == newer:
        return {"status": "identical", "commits": []}
    common = bare.merge_base(older, newer)
    status_word = "ahead" if common == older else "behind" if common == newer else "diverged"
    return {"status": status_word, "merge_base_commit": {"sha": common}, "commits": []}
