"""The variables that previewd gives to a preview: their values, and which service gets which.

Pure. The same map interpolates the Compose file (`stack`) and is set into the services that are built from the
repository (`inject`); third-party images never see it unless the file hands a value on.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from orchestrator.compose.database import URL_VARIABLES, DatabaseUrls, ServerFacts
from orchestrator.compose.model import DatabaseMode, Encoding, Service, Stack

_THE_FILE_KNOWS = URL_VARIABLES | {"PORT"}
"""Names whose literal value in the file stands: `rewrite` sees to URLs, and the file's own port is the right one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known of a preview before its stack starts."""

    host: str
    url: str
    pull: int
    repository: str
    """`owner/name`."""
    branch: str
    commit: str
    secrets: Mapping[str, str] = field(default_factory=dict)
    """Generated once per preview: JWT_SECRET, and those that `x-preview.secrets` names."""
    database: DatabaseUrls | None = None
    server: ServerFacts | None = None
    """Of the previews' Postgres. None takes it to have whatever a stack needs."""
    scheme: str = "postgresql+asyncpg"
    """Of DATABASE_URL."""
    alembic_scheme: str = "postgresql"
    """Of ALEMBIC_DATABASE_URL."""
    port: int | None = None
    """The port that the routed service listens on, once it is known."""


def injected(facts: Facts) -> Mapping[str, str]:
    """The variables, by name: the contract that README lists."""
    found = {
        "PREVIEW_HOST": facts.host,
        "PREVIEW_URL": facts.url,
        "PREVIEW_PR": str(facts.pull),
        "PREVIEW_REPO": facts.repository,
        "PREVIEW_BRANCH": facts.branch,
        "ALLOWED_HOSTS": facts.host,
        "CORS_ORIGINS": f"https://{facts.host}",
        "GIT_SHA": facts.commit,
        "ENV": "preview",
        **facts.secrets,
    }
    if facts.database is not None:
        found["DATABASE_URL"] = facts.database.with_scheme(facts.scheme)
        found["ALEMBIC_DATABASE_URL"] = facts.database.with_scheme(facts.alembic_scheme)
    if facts.port is not None:
        found["PORT"] = str(facts.port)
    return found


def inject(stack: Stack, values: Mapping[str, str]) -> Stack:
    """The stack with `values` set into the services built from the repository, and lists encoded as asked for.

    A value that the file builds from `${…}` stands; a literal one gives way, except for URLs of databases and PORT.
    """
    if stack.preview.database.mode is not DatabaseMode.MANAGED:
        values = {name: value for name, value in values.items() if name not in URL_VARIABLES}
    services = {
        name: _injected(service, values, stack.preview.encode) if service.from_repository else service
        for name, service in stack.services.items()
    }
    return replace(stack, services=services)


def _injected(service: Service, values: Mapping[str, str], encode: Mapping[str, Encoding]) -> Service:
    given = {
        name: value
        for name, value in values.items()
        if name not in service.environment or not (name in service.sources or name in _THE_FILE_KNOWS)
    }
    environment = {**service.environment, **given}
    for name, encoding in encode.items():
        if name in environment:
            environment[name] = encoded(environment[name], encoding)
    return replace(service, environment=environment, unset=service.unset.difference(given))


def encoded(value: str, encoding: Encoding) -> str:
    """A list variable in the form that the application parses; a value that is JSON already stays."""
    if encoding is Encoding.CSV or value.lstrip().startswith("["):
        return value
    return json.dumps([part.strip() for part in value.split(",") if part.strip()])
