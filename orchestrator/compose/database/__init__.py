"""How a stack uses Postgres, and the stack again with the preview's own database in its place."""

from orchestrator.compose.database.images import ServerFacts, image_name, is_postgres
from orchestrator.compose.database.placement import Placement, container_urls, kept, placement
from orchestrator.compose.database.rewrites import Rewrite, rewrites
from orchestrator.compose.database.rewriting import rewrite
from orchestrator.compose.database.url_forms import Forms, forms
from orchestrator.compose.database.urls import URL_VARIABLES, DatabaseUrls

__all__ = [
    "URL_VARIABLES",
    "DatabaseUrls",
    "Forms",
    "Placement",
    "Rewrite",
    "ServerFacts",
    "container_urls",
    "forms",
    "image_name",
    "is_postgres",
    "kept",
    "placement",
    "rewrite",
    "rewrites",
]
