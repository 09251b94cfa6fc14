"""What every route needs: the state, who asks, and the repository that the path names."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, HTTPException, Request, status

from tests.forge.git import BareRepository
from tests.forge.payloads import Addresses
from tests.forge.state import PullRequest, Repository, State, User

NOT_FOUND = "Not Found"
SUSPENDED = "This installation has been suspended"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The parts of the forge, kept on the application for its routes."""

    state: State
    addresses: Addresses
    bare: Callable[[Repository], BareRepository]
    """Finds a repository's git side."""
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
    """Find the repository by number or by owner and name, whichever the path has; 404 for none.

    A name that it had before leads, by a redirect, to its number.
    """
    path = request.path_params
    if "repository_id" in path:
        number = path["repository_id"]
        return found(context.state.repositories.get(int(number)) if number.isdecimal() else None)
    name = f"{path['owner']}/{path['name']}"
    repository = context.state.repository(name)
    moved = context.state.former_names.get(name.lower()) if repository is None else None
    if moved is not None:
        rest = request.url.path.partition(f"/{name}")[2]
        url = f"{context.addresses.api}/repositories/{moved.id}{rest}"
        code = status.HTTP_301_MOVED_PERMANENTLY if request.method == "GET" else status.HTTP_307_TEMPORARY_REDIRECT
        raise HTTPException(code, "Moved Permanently", {"location": url})
    return found(repository)


def get_repository(
    request: Request,
    context: ContextDependency,
    _caller: CallerDependency,
    repository: Annotated[Repository, Depends(find_repository)],
) -> Repository:
    """Find the repository for a caller with a token; asked first, as a bad token must not tell what exists.

    An App sees nothing while its installation is suspended, and no repository that was taken from it.
    """
    token = context.state.tokens[request.headers["authorization"].partition(" ")[2]]
    if token.expires_at is None:
        return repository
    installation = context.state.installation
    if installation is not None and installation.suspended_at is not None:
        raise HTTPException(status.HTTP_403_FORBIDDEN, SUSPENDED)
    excluded = installation is None or repository.id in installation.excluded
    return found(None if excluded or (token.covers is not None and repository.id not in token.covers) else repository)


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


class Permission:
    """Lets a route be reached only by who may do such things: `deployments`, `statuses` or `issues`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, context: ContextDependency) -> None:
        if self._name in context.state.forbidden:
            raise HTTPException(status.HTTP_403_FORBIDDEN, "Resource not accessible by integration")


def refuse(message: str) -> HTTPException:
    """Make the 422 that GitHub answers to a request that it understands and does not accept."""
    return HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, message)
