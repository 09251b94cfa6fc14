"""The application's settings, read from the environment once and handed to routes as a dependency."""

import json
from functools import lru_cache
from typing import Annotated

from fastapi import Depends
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

LOOPBACK_HOSTS = ("localhost", "127.0.0.1")
"""Always allowed: a container's health check calls from inside, and names no public host."""


class Settings(BaseSettings):
    """One field per environment variable of the same name in capitals."""

    # An empty JWT_SECRET, as Compose makes of an unset ${JWT_SECRET}, must fail: it is not ignored.
    model_config = SettingsConfigDict(env_ignore_empty=False)

    env: str = "local"
    database_url: str
    """Async form, as in postgresql+asyncpg://user:password@host:5432/name."""
    alembic_database_url: str
    """The same database for Alembic, which is synchronous: postgresql://…"""
    jwt_secret: SecretStr = Field(min_length=16)
    allowed_hosts: Annotated[list[str], NoDecode] = ["*"]
    """Hosts that the application answers for: `a,b` or `["a","b"]`."""
    cors_origins: Annotated[list[str], NoDecode] = []
    """Origins whose pages may call the API: `https://a,https://b` or a JSON list."""
    git_sha: str = "unknown"

    @field_validator("allowed_hosts", "cors_origins", mode="before")
    @classmethod
    def _read_list(cls, value: str | list[str]) -> list[str]:
        """Accept what people write (commas) beside what pydantic-settings wants by itself (JSON)."""
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):
            return json.loads(value)
        return [part.strip() for part in value.split(",") if part.strip()]

    @property
    def trusted_hosts(self) -> list[str]:
        """The allowed hosts and the loopback ones, for TrustedHostMiddleware."""
        return [*self.allowed_hosts, *LOOPBACK_HOSTS]


@lru_cache
def get_settings() -> Settings:
    """Read the environment on the first call; tests override this dependency."""
    return Settings()


SettingsDependency = Annotated[Settings, Depends(get_settings)]
