"""Applications in the shapes that people have, each live with its own database and unchanged."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.forge import Forge
from tests.support.engine import engine
from tests.support.installation import EXAMPLE, Installation
from tests.support.stand_in_images import stand_in
from tests.support.wait import eventually

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

PGVECTOR = "pgvector/pgvector:pg16"
"""The wheel's Postgres has the extension that it is for …"""

POSTGIS = "postgis/postgis", "16-3.4"
"""… and lacks that of this one."""

_APP = """\
import http.server, os, psycopg2

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        connection = psycopg2.connect({connect})
        cursor = connection.cursor()
        cursor.execute("SELECT current_database() || ' as ' || current_user")
        answer = cursor.fetchone()[0].encode()
        connection.close()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer)

http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
"""
_COMPOSE = """\
services:
  api:
    build: .
    command: python app.py
    expose: [8000]
    depends_on: [db]
    environment:
      {environment}
  db:
    image: {image}
    environment: {{POSTGRES_USER: u, POSTGRES_PASSWORD: p, POSTGRES_DB: app}}
x-preview: {{health: /}}
"""
_BY_URL = 'os.environ["DATABASE_URL"]'
_BY_PARTS = (
    'host=os.environ["POSTGRES_SERVER"], port=os.environ["POSTGRES_PORT"], user=os.environ["POSTGRES_USER"], '
    'password=os.environ["POSTGRES_PASSWORD"], dbname=os.environ["POSTGRES_DB"]'
)
_URL = "DATABASE_URL: postgresql://u:p@db:5432/app"
_PARTS = "{POSTGRES_SERVER: db, POSTGRES_PORT: 5432, POSTGRES_USER: u, POSTGRES_PASSWORD: p, POSTGRES_DB: app}"


def _application(connect: str, environment: str, image: str = "postgres:16") -> dict[str, bytes]:
    """The example's image, whose packages are installed once for all of them, with another program in it."""
    return {
        "Dockerfile": (EXAMPLE / "Dockerfile").read_bytes(),
        "requirements.txt": (EXAMPLE / "requirements.txt").read_bytes(),
        "app.py": _APP.format(connect=connect).encode(),
        "compose.yaml": _COMPOSE.format(environment=environment, image=image).encode(),
    }


@pytest.fixture
def postgis() -> Iterator[str]:
    """An image of that name, where no registry can be reached."""
    with stand_in("postgres") as reference, engine() as api:
        name, tag = POSTGIS
        api.tag(reference, name, tag)
        try:
            yield f"{name}:{tag}"
        finally:
            api.remove_image(f"{name}:{tag}", force=True)


async def test_each_is_live_unchanged(forge: Forge, previewd: Installation, postgis: str) -> None:
    ids = {
        "parts": _open(forge, "parts", _application(_BY_PARTS, _PARTS)),
        "psycopg2": _open(forge, "psycopg2", _application(_BY_URL, _URL)),
        "pgvector": _open(forge, "pgvector", _application(_BY_URL, _URL, PGVECTOR)),
        "postgis": _open(forge, "postgis", _application(_BY_URL, _URL, postgis)),
    }
    await previewd.deliver()
    live = dict(zip(ids, await asyncio.gather(*(_ready(previewd, each) for each in ids.values())), strict=True))
    for name in ("parts", "psycopg2", "pgvector"):
        own = f"{previewd.instance}_{ids[name]}_1"
        assert (await previewd.get(live[name], "/")).text == f"{own} as {own}"
    assert (await previewd.get(live["postgis"], "/")).text == "app as u", "its own container is kept"
    notes = "\n".join((await previewd.deployments(live["postgis"]))[0]["notes"])
    assert "lacks the extension postgis" in notes


def _open(forge: Forge, name: str, files: dict[str, bytes]) -> int:
    repository = forge.create_repository(f"acme/{name}", files)
    forge.set_permission(repository, "ada", "write")
    forge.commit(repository, "feature", {"NOTES.md": b"first"})
    forge.open_pull(repository, "feature", author="ada")
    return repository.id


async def _ready(previewd: Installation, repository: int) -> dict[str, Any]:
    async def ready() -> dict[str, Any] | None:
        answer = await previewd.api.get(f"/previews/{repository}-1")
        found = dict(answer.json()) if answer.is_success else {}
        assert found.get("state") != "failed", found["reason"]
        return found if found.get("state") == "ready" else None

    return await eventually(ready, f"{repository}-1 is ready", 600)
