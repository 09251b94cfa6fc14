"""Whether a stack's Postgres is replaced by the preview's own database or kept, and why. Pure; `prepare` calls it."""

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from orchestrator.codebase.extensions import created_extensions
from orchestrator.compose.database.detection import replaced_service
from orchestrator.compose.database.images import Needs, ServerFacts, is_postgres, notes, requirements, with_extensions
from orchestrator.compose.database.urls import DatabaseUrls
from orchestrator.compose.model import DatabaseMode, MountKind, Service, Stack

_POSTGRES_PORT = 5432
_INIT_FOLDER = "/docker-entrypoint-initdb.d"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Who gives a stack its Postgres."""

    mode: DatabaseMode
    replaces: str | None = None
    """The service, or bare host name, whose place the preview's own database takes."""
    container: str | None = None
    """The service that is kept, where `kept` says why."""
    needs: Needs = field(default_factory=Needs)
    kept: str = ""
    """Why the stack's own container is kept although the file does not ask for it, with the remedy; else empty."""
    notes: tuple[str, ...] = ()


def placement(stack: Stack, files: Mapping[str, bytes], server: ServerFacts | None) -> Placement:
    """Where the stack's database is to be. Without facts of the server it is taken to have all that is needed."""
    mode, name = stack.preview.database.mode, replaced_service(stack)
    if mode is not DatabaseMode.MANAGED or name is None:
        return Placement(mode=mode)
    own = stack.services.get(name)
    image = requirements(own) if own is not None and own.build is None else Needs()
    needs = with_extensions(image, created_extensions(files, _scripts(stack, files)))
    lacking = needs.lacking(server) if server is not None else ()
    if own is None or not lacking:
        said = () if own is None else tuple(notes(own, server))
        return Placement(mode=mode, replaces=name, needs=needs, notes=(*said, *_unmet(stack, lacking)))
    return Placement(mode=DatabaseMode.CONTAINER, container=name, needs=needs, kept=_kept(own, lacking))


def container_urls(stack: Stack, found: Placement) -> DatabaseUrls | None:
    """The database in a container that is kept, by what its image is told: a file may still use `${DATABASE_URL}`."""
    if found.container is None:
        return None
    told = stack.services[found.container].environment
    user = told.get("POSTGRES_USER") or "postgres"
    return DatabaseUrls(
        host=found.container,
        port=_POSTGRES_PORT,
        user=user,
        password=told.get("POSTGRES_PASSWORD", ""),
        database=told.get("POSTGRES_DB") or user,
    )


def kept(stack: Stack, found: Placement) -> Stack:
    """The stack with its own container, and the reason among the notes."""
    block = replace(stack.preview, database=replace(stack.preview.database, mode=found.mode))
    return replace(stack, preview=block, notes=(*stack.notes, found.kept))


def _kept(own: Service, lacking: tuple[str, ...]) -> str:
    missing = " and ".join(lacking)
    return (
        f"{own.place}: the stack's own container {own.name} is kept, because the previews' Postgres server lacks "
        f"{missing}. Its data is in the stack's volumes: empty at first, no clone of a template, without snapshots. "
        "Install what is missing on that server to have a database of the preview's own."
    )


def _unmet(stack: Stack, lacking: tuple[str, ...]) -> Iterator[str]:
    if lacking:
        yield f"{stack.path}: the previews' Postgres server lacks {' and '.join(lacking)}; install it there."


def _scripts(stack: Stack, files: Mapping[str, bytes]) -> list[str]:
    """The repository's scripts that the images of Postgres run at their first start."""
    sources = [
        mount.source
        for service in stack.services.values()
        if is_postgres(service)
        for mount in service.volumes
        if mount.kind is MountKind.BIND and mount.target.startswith(_INIT_FOLDER)
    ]
    return sorted(
        path for path in files if any(path == source or posixpath.dirname(path) == source for source in sources)
    )
