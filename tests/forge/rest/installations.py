"""What an App needs before anything else: its installation, and an access token for it. And the rate limit."""

import time
from typing import Annotated, Any

import jwt
from fastapi import APIRouter, Depends, HTTPException, Request, status
from pydantic import BaseModel

from tests.forge.payloads import Json, repository_object, timestamp
from tests.forge.rest.context import SUSPENDED, CallerDependency, Context, ContextDependency, find_repository, found
from tests.forge.rest.paging import PagerDependency
from tests.forge.state import Installation, Repository, now

MAX_JWT_SECONDS = 600
CLOCK_DRIFT_SECONDS = 60
HOURLY_LIMIT = 5000

router = APIRouter()
repository_router = APIRouter()


def get_app_claims(request: Request) -> Json:
    """Read the App's JWT. Its signature is not checked, for the stand-in has no public key; its times are."""
    token = request.headers.get("authorization", "").partition(" ")[2]
    try:
        claims: Json = jwt.decode(
            token,
            options={"verify_signature": False, "verify_exp": True, "require": ["iss", "iat", "exp"]},
            leeway=CLOCK_DRIFT_SECONDS,
        )
    except jwt.InvalidTokenError as error:
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "A JSON web token could not be decoded") from error
    if claims["exp"] > time.time() + MAX_JWT_SECONDS + CLOCK_DRIFT_SECONDS:
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "'Expiration time' claim ('exp') is too far in the future")
    return claims


AppDependency = Annotated[Json, Depends(get_app_claims)]


class WantedToken(BaseModel):
    """What a client sends when it asks for a token."""

    repository_ids: list[int] | None = None


@repository_router.get("/installation")
async def get_installation(
    _claims: AppDependency,
    repository: Annotated[Repository, Depends(find_repository)],
    context: ContextDependency,
) -> Json:
    """Name the installation that covers a repository; 404 when the App is not installed."""
    installation = found(context.state.installation)
    return _installation_object(context, found(None if repository.id in installation.excluded else installation))


@router.get("/app/installations")
async def list_installations(_claims: AppDependency, context: ContextDependency, pager: PagerDependency) -> list[Json]:
    installations = [context.state.installation] if context.state.installation else []
    return [_installation_object(context, each) for each in pager.cut(installations)]


@router.get("/installation/repositories")
async def list_repositories(
    request: Request, _caller: CallerDependency, context: ContextDependency, pager: PagerDependency
) -> Json:
    """What an installation's token opens. An access token of a person opens no installation."""
    token = context.state.tokens[request.headers["authorization"].partition(" ")[2]]
    installation = context.state.installation
    if token.expires_at is None or installation is None:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "Resource not accessible by personal access token")
    if installation.suspended_at is not None:
        raise HTTPException(status.HTTP_403_FORBIDDEN, SUSPENDED)
    covered = [
        repository
        for repository in list(context.state.repositories.values())
        if repository.id not in installation.excluded and (token.covers is None or repository.id in token.covers)
    ]
    return {
        "total_count": len(covered),
        "repositories": [repository_object(context.addresses, each) for each in pager.cut(covered)],
    }


@router.post("/app/installations/{installation_id}/access_tokens", status_code=status.HTTP_201_CREATED)
async def create_access_token(
    installation_id: int, context: ContextDependency, _claims: AppDependency, wanted: WantedToken | None = None
) -> Json:
    """Make a token, which may be narrowed to some repositories."""
    installation = found(context.state.installation)
    found(installation_id if installation_id == installation.id else None)
    if installation.suspended_at is not None:
        raise HTTPException(status.HTTP_403_FORBIDDEN, SUSPENDED)
    covers = None if wanted is None or wanted.repository_ids is None else frozenset(wanted.repository_ids)
    expires_at = now() + context.state.token_lifetime
    return {
        "token": context.state.issue_token(context.app_login, expires_at, covers),
        "expires_at": timestamp(expires_at),
        "permissions": {
            "contents": "read",
            "metadata": "read",
            **{name: "write" for name in ("deployments", "issues", "statuses") if name not in context.state.forbidden},
        },
        "repository_selection": "all" if covers is None else "selected",
    }


@router.get("/rate_limit")
async def get_rate_limit(_caller: CallerDependency) -> dict[str, Any]:
    """The stand-in does not count: limits are planned as faults."""
    core = {"limit": HOURLY_LIMIT, "used": 0, "remaining": HOURLY_LIMIT, "reset": int(time.time()) + 3600}
    return {"resources": {"core": core}, "rate": core}


def _installation_object(context: Context, installation: Installation) -> Json:
    return {
        "id": installation.id,
        "app_slug": context.app_login.removesuffix("[bot]"),
        "repository_selection": "selected" if installation.excluded else "all",
        "suspended_at": timestamp(installation.suspended_at) if installation.suspended_at else None,
    }
