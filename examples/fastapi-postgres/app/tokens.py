"""Signed tokens. One issued before a deployment stays good after it, for as long as JWT_SECRET is kept."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import jwt
from fastapi import APIRouter, Depends, HTTPException, status
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from app.settings import SettingsDependency

ALGORITHM = "HS256"
LIFETIME = timedelta(hours=12)

router = APIRouter(prefix="/api")


class Person(BaseModel):
    """Who a token speaks for."""

    name: str


class Token(BaseModel):
    """What a client sends back as `Authorization: Bearer …`."""

    access_token: str


@router.post("/token")
async def issue_token(person: Person, settings: SettingsDependency) -> Token:
    """Sign a token for anybody: a sample application has no accounts."""
    claims = {"sub": person.name, "exp": datetime.now(UTC) + LIFETIME}
    return Token(access_token=jwt.encode(claims, settings.jwt_secret.get_secret_value(), ALGORITHM))


@router.get("/me")
async def who_am_i(
    bearer: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())], settings: SettingsDependency
) -> Person:
    """Read a token; 401 when it is not ours or too old."""
    secret = settings.jwt_secret.get_secret_value()
    try:
        claims = jwt.decode(bearer.credentials, secret, [ALGORITHM], options={"require": ["sub", "exp"]})
    except jwt.InvalidTokenError as error:
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "the token is not valid") from error
    return Person(name=claims["sub"])
