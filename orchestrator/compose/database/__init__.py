"""How a stack uses Postgres, and the stack again with the preview's own database in its place."""

from orchestrator.compose.database.detection import replaced_service
from orchestrator.compose.database.images import Needs, ServerFacts, image_name, is_postgres, requirements
from orchestrator.compose.database.placement import Placement, container_urls, kept, placement
from orchestrator.compose.database.rewrites import Rewrite, rewrites
from orchestrator.compose.database.rewriting import rewrite
from orchestrator.compose.database.url_forms import Forms, forms
from orchestrator.compose.database.urls import URL_VARIABLES, DatabaseUrls, PostgresUrl, masked, read_url

__all__ = [
    "URL_VARIABLES",
    "DatabaseUrls",
    "Forms",
    "Needs",
    "Placement",
    "PostgresUrl",
    "Rewrite",
    "ServerFacts",
    "container_urls",
    "forms",
    "image_name",
    "is_postgres",
    "kept",
    "masked",
    "placement",
    "read_url",
    "replaced_service",
    "requirements",
    "rewrite",
    "rewrites",
]
