"""What an App needs before anything else: its installation, and an access token for it. And the rate limit."""

import time
from datetime import timedelta
from typing import Annotated, Any

import jwt
from fastapi import APIRouter, Depends, HTTPException, Request, status

from tests.forge.payloads import Json, timestamp, user_object
from tests.forge.rest.context import CallerDependency, ContextDependency, find_repository, found
from tests.forge.state import Repository, now

TOKEN_LIFETIME = timedelta(hours=1)
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


@repository_router.get("/installation")
async def get_installation(
    _claims: AppDependency,
    repository: Annotated[Repository, Depends(find_repository)],
    context: ContextDependency,
) -> Json:
    """Name the installation that covers a repository; 404 when the App is not installed."""
    return {
        "id": found(context.installation),
        "account": user_object(context.addresses, repository.owner),
        "repository_selection": "all",
    }


@router.post("/app/installations/{installation_id}/access_tokens", status_code=status.HTTP_201_CREATED)
async def create_access_token(installation_id: int, context: ContextDependency, _claims: AppDependency) -> Json:
    found(installation_id if installation_id == context.installation else None)
    expires_at = now() + TOKEN_LIFETIME
    return {
        "token": context.state.issue_token(context.app_login, expires_at),
        "expires_at": timestamp(expires_at),
        "permissions": {"contents": "read", "metadata": "read", "pull_requests": "write", "statuses": "write"},
        "repository_selection": "all",
    }


@router.get("/rate_limit")
async def get_rate_limit(_caller: CallerDependency) -> dict[str, Any]:
    """The stand-in does not count: limits are planned as faults."""
    core = {"limit": HOURLY_LIMIT, "used": 0, "remaining": HOURLY_LIMIT, "reset": int(time.time()) + 3600}
    return {"resources": {"core": core}, "rate": core}
