"""The dashboard: every preview at one glance, and one preview in every detail, both kept true while they are open.

Pages are rendered here and work without a script; the script only puts newer pieces of the same templates in place,
as one stream of events sends them.
"""

from dataclasses import dataclass
from typing import Self

from fastapi import APIRouter, Depends

from orchestrator.runtime.queue import Queue
from orchestrator.runtime.settings import Settings
from orchestrator.store.changes import Changes
from orchestrator.store.queries import Queries
from orchestrator.store.store import Store
from webhooks.dashboard.pages import Pages
from webhooks.dashboard.reading import Reader
from webhooks.dashboard.rendering import Renderer
from webhooks.dashboard.sign_in import SignIn
from webhooks.dashboard.streams import Streams

LARGEST_FORM = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """Its three parts."""

    sign_in: SignIn
    pages: Pages
    streams: Streams

    @classmethod
    def assemble(cls, settings: Settings, store: Store, queries: Queries, queue: Queue, changes: Changes) -> Self:
        """Make each part, on what it needs."""
        reader, renderer = Reader(store=store, queries=queries), Renderer(settings)
        return cls(
            sign_in=SignIn(settings=settings, renderer=renderer),
            pages=Pages(store=store, queries=queries, queue=queue, reader=reader, renderer=renderer),
            streams=Streams(queries=queries, changes=changes, reader=reader, renderer=renderer),
        )


def router(dashboard: Dashboard) -> APIRouter:
    """The routes of the dashboard: one for signing in, and those behind the guard."""
    sign_in, pages, streams = dashboard.sign_in, dashboard.pages, dashboard.streams
    routes = APIRouter(include_in_schema=False, max_body_size=LARGEST_FORM)
    routes.add_api_route("/login", sign_in.sign_in, methods=["POST"])
    inside = APIRouter(dependencies=[Depends(sign_in.guard)], include_in_schema=False)
    inside.add_api_route("/", pages.index, methods=["GET"])
    inside.add_api_route("/logout", sign_in.sign_out, methods=["POST"])
    inside.add_api_route("/leaks", pages.leaks, methods=["GET"])
    inside.add_api_route("/events", streams.events, methods=["GET"])
    inside.add_api_route("/previews/{id}", pages.preview, methods=["GET"])
    inside.add_api_route("/previews/{id}/events", streams.preview_events, methods=["GET"])
    inside.add_api_route("/previews/{id}/redeploy", pages.redeploy, methods=["POST"])
    inside.add_api_route("/previews/{id}/reset-database", pages.reset_database, methods=["POST"])
    routes.include_router(inside)
    return routes
