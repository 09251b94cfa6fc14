"""Statuses of commits."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, status
from pydantic import BaseModel, StringConstraints

from tests.forge.payloads import Json, status_object
from tests.forge.rest.context import CallerDependency, ContextDependency, Permission, RepositoryDependency, refuse
from tests.forge.rest.paging import PagerDependency
from tests.forge.state import CommitStatus

router = APIRouter()


class NewStatus(BaseModel):
    """What a client sends."""

    state: Literal["error", "failure", "pending", "success"]
    target_url: str | None = None
    description: Annotated[str, StringConstraints(max_length=140)] | None = None
    context: str = "default"


@router.post("/statuses/{sha}", status_code=status.HTTP_201_CREATED, dependencies=[Depends(Permission("statuses"))])
def create_status(
    sha: str,
    new: NewStatus,
    repository: RepositoryDependency,
    caller: CallerDependency,
    context: ContextDependency,
) -> Json:
    """A plain function, run on a thread: it asks git whether there is such a commit."""
    if context.bare(repository).resolve(sha) != sha:
        raise refuse(f"No commit found for SHA: {sha}")
    created = CommitStatus(id=context.state.next_id(), sha=sha, creator=caller, **new.model_dump())
    repository.statuses.append(created)
    return status_object(context.addresses, repository, created)


@router.get("/commits/{sha}/statuses")
async def list_statuses(
    sha: str, repository: RepositoryDependency, context: ContextDependency, pager: PagerDependency
) -> list[Json]:
    """The newest first, also those that a newer one of the same context stands in front of."""
    statuses = [known for known in reversed(list(repository.statuses)) if known.sha == sha]
    return [status_object(context.addresses, repository, known) for known in pager.cut(statuses)]
