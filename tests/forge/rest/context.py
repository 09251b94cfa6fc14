"""What every route needs: the state, who asks, and the repository that the path names."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, HTTPException, Request, status

from tests.forge.git import BareRepository
from tests.forge.payloads import Addresses
from tests.forge.state import PullRequest, Repository, State, User

NOT_FOUND = "Not Found"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The parts of the forge, kept on the application for its routes."""

    state: State
    addresses: Addresses
    bare: Callable[[Repository], BareRepository]
    """Finds a repository's git side."""
    installation: int | None
    app_login: str
    """The account that the App's tokens speak for."""


def get_context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


ContextDependency = Annotated[Context, Depends(get_context)]


def get_caller(request: Request, context: ContextDependency) -> User:
    """Name the account whose token came with the request; 401 for none or a bad one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if not token:
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "Requires authentication")
    caller = context.state.bearer(token)
    if scheme.lower() not in {"bearer", "token"} or caller is None:
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "Bad credentials")
    return caller


CallerDependency = Annotated[User, Depends(get_caller)]


def find_repository(request: Request, context: ContextDependency) -> Repository:
    """Find the repository by number or by owner and name, whichever the path has; 404 for none."""
    path = request.path_params
    if "repository_id" in path:
        number = path["repository_id"]
        repository = context.state.repositories.get(int(number)) if number.isdecimal() else None
    else:
        repository = context.state.repository(f"{path['owner']}/{path['name']}")
    return found(repository)


def get_repository(
    _caller: CallerDependency, repository: Annotated[Repository, Depends(find_repository)]
) -> Repository:
    """Find the repository for a caller with a token; asked first, as a bad token must not tell what exists."""
    return repository


RepositoryDependency = Annotated[Repository, Depends(get_repository)]


def get_pull(number: int, repository: RepositoryDependency) -> PullRequest:
    """Find the pull request that the path numbers."""
    return found(repository.pulls.get(number))


PullDependency = Annotated[PullRequest, Depends(get_pull)]


def found(thing: T | None) -> T:
    """Return the thing, or answer 404."""
    if thing is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, NOT_FOUND)
    return thing


def refuse(message: str) -> HTTPException:
    """Make the 422 that GitHub answers to a request that it understands and does not accept."""
    return HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, message)
