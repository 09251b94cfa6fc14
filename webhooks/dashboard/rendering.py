"""The dashboard's templates, and the answers that are made of them."""

from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from orchestrator.databases.usage import connections_sentence, size_sentence
from orchestrator.reporting import text
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.units import size_told
from webhooks.dashboard import present

HERE = Path(__file__).parent
STATIC = HERE / "static"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def environment() -> Environment:
    """The templates. All of them escape; an unknown name is an error."""
    templates = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals.update(
        age=text.age,
        bars=present.bars,
        blocks=present.blocks,
        outcome_tone=present.outcome_tone,
        short=text.short,
        took=present.took,
        tone=text.tone,
        count=present.count,
        size=size_told,
        share=present.share,
        size_sentence=size_sentence,
        connections_sentence=connections_sentence,
    )
    templates.filters["clean"] = text.clean
    return templates


class Renderer:
    """Fills templates in. Each of them also gets the settings, the forge's address and the time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._forge = present.forge_web(settings.github_api_url)
        self._templates = environment()

    def page(self, template: str, status: int = HTTPStatus.OK, /, **values: Any) -> Response:
        """A whole page, with the headers that keep it to itself."""
        return HTMLResponse(self.markup(template, **values), status, HEADERS)

    def markup(self, template: str, /, **values: Any) -> str:
        """The text alone, of a page or a part of one."""
        return self._templates.get_template(template).render(
            settings=self._settings, forge=self._forge, now=datetime.now(UTC), **values
        )
