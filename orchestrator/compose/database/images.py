"""Images that run Postgres: which they are, and what an application that has one of them needs of a server. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from orchestrator.compose.model import Service
from orchestrator.preview.errors import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """The previews' Postgres server: its major version, and the extensions that a preview's role can create in it."""

    major: int
    extensions: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a server must have to take the place of a stack's own."""

    extensions: Mapping[str, str] = field(default_factory=dict)
    """Name to what asks for it, as in `image pgvector/pgvector:pg16` or `migrations/1.py:4`."""
    major: int | None = None
    """Of the replaced image. A newer server does; an older one does not."""

    def lacking(self, server: ServerFacts) -> tuple[str, ...]:
        """What the server does not have, in words. Empty where it has all."""
        missing = [
            f"the extension {name} (for {asks})"
            for name, asks in sorted(self.extensions.items())
            if name not in server.extensions
        ]
        too_old = self.major is not None and self.major > server.major
        return (*missing, *([f"version {self.major} (it is {server.major})"] if too_old else []))

    def conditions(self) -> tuple[str, ...]:
        """What a server must have that nobody has asked yet, in words."""
        return (
            *(f"`{name}`" for name in sorted(self.extensions)),
            *([f"version {self.major} or newer"] if self.major is not None else []),
        )


@dataclass(frozen=True, slots=True)
class _Image:
    """What is known of an image by the last part of its name."""

    extensions: frozenset[str] = frozenset()
    tag_is_major: bool = True
    """Whether a tag begins with the version of Postgres. `pg16` anywhere in it counts always."""


def _with(*extensions: str, tag_is_major: bool = False) -> _Image:
    return _Image(frozenset(extensions), tag_is_major)


_IMAGES: Mapping[str, _Image] = {
    **dict.fromkeys(("postgres", "postgresql", "postgresql-repmgr", "postgres-ssl", "alpine-postgres"), _Image()),
    **dict.fromkeys(("postgis", "alpine-postgis"), _with("postgis", tag_is_major=True)),
    **dict.fromkeys(("pgvector", "postgres-pgvector"), _with("vector")),
    **dict.fromkeys(("timescaledb", "timescaledb-ha"), _with("timescaledb")),
    "citus": _with("citus"),
    "paradedb": _with("pg_search"),
    "pgvecto-rs": _with("vectors"),
    "vchord-postgres": _with("vchord"),
    "pgroonga": _with("pgroonga"),
}
_BY_NAME: Mapping[str, _Image] = {
    "supabase/postgres": _with("pg_graphql", tag_is_major=True),
    "immich-app/postgres": _with("vchord", tag_is_major=True),
    "apache/age": _with("age"),
}
"""Images that only their whole name tells."""
_PG_TAG = re.compile(r"(?:^|[^a-z])pg[-_]?(?P<major>\d{1,2})(?![\d])", re.IGNORECASE)
_VERSION_TAG = re.compile(r"v?(?P<major>\d{1,2})(?![\d])")
_MAJORS = range(9, 40)


def is_postgres(service: Service) -> bool:
    """Whether the service runs a known Postgres image; one that is built here could be anything."""
    return service.build is None and _known(service) is not None


def image_name(service: Service) -> str:
    """The last part of the image's name, without registry, tag and digest."""
    return _path(service).rpartition("/")[2]


def requirements(service: Service) -> Needs:
    """What its image brings, which the application then needs of another server, too."""
    known = _known(service) or _Image(tag_is_major=False)
    asks = f"the image {service.image}"
    return Needs(extensions=dict.fromkeys(sorted(known.extensions), asks), major=_major(service, known))


def with_extensions(needs: Needs, created: Mapping[str, Place]) -> Needs:
    """The same, and the extensions that migrations and scripts create, each with the place."""
    return Needs(
        extensions={**{name: str(place) for name, place in created.items()}, **needs.extensions}, major=needs.major
    )


def notes(service: Service, server: ServerFacts | None) -> Iterator[str]:
    """What is different on the server that takes the service's place."""
    major = requirements(service).major
    if server is not None and major is not None and major < server.major:
        yield f"{service.place}: {service.image} becomes a database on Postgres {server.major}, which is newer."


def _path(service: Service) -> str:
    """The image's name with its registry, without tag and digest."""
    name = (service.image or "").partition("@")[0]
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]


def _tag(service: Service) -> str:
    return (service.image or "").partition("@")[0].rpartition("/")[2].partition(":")[2]


def _known(service: Service) -> _Image | None:
    path = _path(service)
    whole = next((image for name, image in _BY_NAME.items() if f"/{path}".endswith(f"/{name}")), None)
    return whole or _IMAGES.get(image_name(service))


def _major(service: Service, known: _Image) -> int | None:
    tag = _tag(service)
    match = _PG_TAG.search(tag) or (_VERSION_TAG.match(tag) if known.tag_is_major else None)
    return int(match["major"]) if match is not None and int(match["major"]) in _MAJORS else None
