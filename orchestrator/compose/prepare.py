"""A repository and what is known of its preview, to the stack that starts: read, place the database, inject.

Pure, and the one function that most callers want. It reads the file twice, because the form of the database's URLs
and the port that file and code ask for decide the values of DATABASE_URL and PORT, which the file may use again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from orchestrator.compose.database import (
    DatabaseUrls,
    Forms,
    Placement,
    Rewrite,
    container_urls,
    forms,
    kept,
    placement,
    rewrite,
    rewrites,
)
from orchestrator.compose.inject import Facts, inject, injected
from orchestrator.compose.model import DatabaseMode, Stack
from orchestrator.compose.route import Route, route
from orchestrator.compose.services.stack import read


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A stack as it starts, and how it came to its database."""

    stack: Stack
    """With its database and variables in place."""
    route: Route
    """Where requests go."""
    database: Placement
    forms: Forms
    rewrites: tuple[Rewrite, ...] = ()
    """Every value that leads to the preview's own database."""


def prepare(files: Mapping[str, bytes], path: str, facts: Facts) -> Prepared:
    """Raises ComposeError for the first thing that previewd does not take."""
    first = read(files, path, injected(facts))
    database, found = placement(first, files, facts.server), forms(first, files)
    own = facts.database if database.mode is DatabaseMode.MANAGED else None
    known = replace(
        facts,
        database=own or container_urls(first, database),
        scheme=found.application.scheme,
        alembic_scheme=found.alembic.scheme,
        port=facts.port or route(_placed(first, own, database)).port,
    )
    values = injected(known)
    before = read(files, path, values)
    placed = _placed(before, own, database)
    stack = inject(placed, values)
    return Prepared(
        stack=kept(stack, database) if database.kept else stack,
        route=route(stack),
        database=database,
        forms=found,
        rewrites=() if own is None else rewrites(before, placed, stack, own),
    )


def _placed(stack: Stack, own: DatabaseUrls | None, database: Placement) -> Stack:
    return stack if own is None else rewrite(stack, own, database)
