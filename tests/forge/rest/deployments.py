"""Deployments and their statuses."""

# ruff: noqa: FAST003 - the dependencies read what the paths number

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, status
from pydantic import BaseModel, StringConstraints

from tests.forge.payloads import Json, deployment_object, deployment_status_object
from tests.forge.rest.context import (
    CallerDependency,
    ContextDependency,
    Permission,
    RepositoryDependency,
    found,
    refuse,
)
from tests.forge.rest.paging import PagerDependency
from tests.forge.state import Deployment, DeploymentStatus, Repository, State, User

MAY_DEPLOY = [Depends(Permission("deployments"))]

router = APIRouter()


class NewDeployment(BaseModel):
    """What a client sends. GitHub merges the default branch into the ref, and waits for all checks, if not told."""

    ref: str
    task: str = "deploy"
    auto_merge: bool = True
    required_contexts: list[str] | None = None
    payload: dict[str, Any] | str = ""
    environment: str = "production"
    description: str | None = None
    transient_environment: bool = False
    production_environment: bool | None = None


class NewDeploymentStatus(BaseModel):
    """What a client sends."""

    state: Literal["error", "failure", "inactive", "in_progress", "queued", "pending", "success"]
    description: Annotated[str, StringConstraints(max_length=140)] = ""
    environment_url: str = ""
    log_url: str = ""
    auto_inactive: bool = True


def get_deployment(deployment_id: int, repository: RepositoryDependency) -> Deployment:
    return found(repository.deployments.get(deployment_id))


DeploymentDependency = Annotated[Deployment, Depends(get_deployment)]


@router.get("/deployments", dependencies=MAY_DEPLOY)
async def list_deployments(
    repository: RepositoryDependency,
    context: ContextDependency,
    pager: PagerDependency,
    sha: str | None = None,
    ref: str | None = None,
    task: str | None = None,
    environment: str | None = None,
) -> list[Json]:
    """The newest first."""
    deployments = [
        deployment
        for deployment in reversed(list(repository.deployments.values()))
        if sha in {None, deployment.sha}
        and ref in {None, deployment.ref}
        and task in {None, deployment.task}
        and environment in {None, deployment.environment}
    ]
    return [deployment_object(context.addresses, repository, deployment) for deployment in pager.cut(deployments)]


@router.post("/deployments", status_code=status.HTTP_201_CREATED, dependencies=MAY_DEPLOY)
def create_deployment(
    new: NewDeployment,
    repository: RepositoryDependency,
    caller: CallerDependency,
    context: ContextDependency,
) -> Json:
    """A plain function, run on a thread: it asks git which commit is meant.

    A commit that has a status which is no success is refused while contexts are required.
    """
    sha = context.bare(repository).resolve(new.ref)
    if sha is None:
        raise refuse(f"No ref found for: {new.ref}")
    latest = {status.context: status.state for status in repository.statuses if status.sha == sha}
    required = latest if new.required_contexts is None else new.required_contexts
    if any(latest.get(name) != "success" for name in required):
        raise HTTPException(status.HTTP_409_CONFLICT, "Conflict: Commit status checks failed for the ref.")
    production = new.production_environment
    deployment = Deployment(
        id=context.state.next_id(),
        ref=new.ref,
        sha=sha,
        environment=new.environment,
        task=new.task,
        description=new.description,
        transient=new.transient_environment,
        production=new.environment == "production" if production is None else production,
        creator=caller,
        payload=new.payload,
    )
    repository.deployments[deployment.id] = deployment
    return deployment_object(context.addresses, repository, deployment)


@router.get("/deployments/{deployment_id}")
async def get_one_deployment(
    deployment: DeploymentDependency, repository: RepositoryDependency, context: ContextDependency
) -> Json:
    return deployment_object(context.addresses, repository, deployment)


@router.delete("/deployments/{deployment_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_deployment(deployment: DeploymentDependency, repository: RepositoryDependency) -> None:
    """An active deployment can only be deleted when it is the only one."""
    if deployment.active and len(repository.deployments) > 1:
        raise refuse("We cannot delete an active deployment unless it is the only deployment.")
    del repository.deployments[deployment.id]


@router.get("/deployments/{deployment_id}/statuses")
async def list_deployment_statuses(
    deployment: DeploymentDependency,
    repository: RepositoryDependency,
    context: ContextDependency,
    pager: PagerDependency,
) -> list[Json]:
    """The newest first."""
    statuses = list(reversed(deployment.statuses))
    return [deployment_status_object(context.addresses, repository, deployment, known) for known in pager.cut(statuses)]


@router.post("/deployments/{deployment_id}/statuses", status_code=status.HTTP_201_CREATED, dependencies=MAY_DEPLOY)
async def create_deployment_status(
    new: NewDeploymentStatus,
    deployment: DeploymentDependency,
    repository: RepositoryDependency,
    caller: CallerDependency,
    context: ContextDependency,
) -> Json:
    created = _add_status(deployment, new, caller, context.state)
    if new.state == "success" and new.auto_inactive:
        _retire_older(repository, deployment, caller, context.state)
    return deployment_status_object(context.addresses, repository, deployment, created)


def _add_status(deployment: Deployment, new: NewDeploymentStatus, caller: User, state: State) -> DeploymentStatus:
    fields = new.model_dump(exclude={"auto_inactive"})
    created = DeploymentStatus(id=state.next_id(), creator=caller, **fields)
    deployment.statuses.append(created)
    return created


def _retire_older(repository: Repository, newest: Deployment, caller: User, state: State) -> None:
    """Mark what served before as inactive, as GitHub does where an environment is neither transient nor production."""
    for older in list(repository.deployments.values()):
        served = bool(older.statuses) and older.statuses[-1].state == "success"
        replaced = older is not newest and older.environment == newest.environment
        if served and replaced and not older.transient and not older.production:
            _add_status(older, NewDeploymentStatus(state="inactive"), caller, state)
