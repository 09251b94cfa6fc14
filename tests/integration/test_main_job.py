"""The main job with the application that users have: open, push, close, through the door that visitors use."""

import asyncio
import json
from typing import Any

import httpx
import pytest
import websockets

from tests.forge import Forge, PullRequest, Repository
from tests.forge.git import read_tree
from tests.support.engine import objects_of
from tests.support.installation import EXAMPLE, Installation
from tests.support.wait import eventually

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

FIRST_BUILD_SECONDS = 600


async def test_a_pull_request_becomes_live_follows_a_push_and_vanishes(forge: Forge, previewd: Installation) -> None:
    repository = forge.create_repository("acme/shop", EXAMPLE)
    pull = _open(forge, repository, {"NOTES.md": b"first\n"})
    await previewd.deliver()
    preview = await previewd.reaches("ready", commit=pull.head_sha, seconds=FIRST_BUILD_SECONDS)

    await _answers_with_its_own_database(previewd, preview, pull.head_sha)
    await _passes_what_browsers_send(previewd, preview)
    assert (await previewd.proxy.get("/", headers={"Host": "pr-99-shop.preview.localhost"})).status_code == 404

    await _survives_an_upgrade(previewd, preview)
    before = await _items(previewd, preview)
    headline = (EXAMPLE / "app" / "items.py").read_text().replace("Items on board", "Items after a push")
    forge.push(pull, {"app/items.py": headline.encode(), "alembic/versions/0002_add_colour.py": _MIGRATION})
    await previewd.deliver()
    preview = await previewd.reaches("ready", commit=pull.head_sha, seconds=FIRST_BUILD_SECONDS)
    assert "Items after a push" in (await previewd.get(preview, "/")).text
    assert await _items(previewd, preview) == before, "the rows of before the push are still there"
    await _says_ready(forge, repository, pull, preview)

    forge.close(pull)
    await previewd.deliver()
    await previewd.reaches("removed")
    assert (await previewd.get(preview, "/")).status_code == 404
    assert json.loads((await asyncio.to_thread(previewd.cli, "leaks", "--json")).stdout) == []
    assert objects_of(previewd.instance) == []


async def test_the_file_that_people_use_locally_works_unchanged(forge: Forge, previewd: Installation) -> None:
    """It has `build`, `ports`, a bind mount and a Postgres service with a healthcheck that is waited for."""
    files = {path: data for path, data in read_tree(EXAMPLE).items() if path != "docker-compose.preview.yml"}
    repository = forge.create_repository("acme/shop", files)
    pull = _open(forge, repository, {"NOTES.md": b"first\n"})
    await previewd.deliver()
    preview = await previewd.reaches("ready", commit=pull.head_sha, seconds=FIRST_BUILD_SECONDS)
    await _answers_with_its_own_database(previewd, preview, pull.head_sha)
    services = {
        container.labels["com.docker.compose.service"] for container in objects_of(previewd.instance, "container")
    }
    assert services == {"api"}, "the preview's own database took the place of `db`"


async def test_an_application_that_reads_lists_from_json_only_is_told_what_to_do(
    forge: Forge, previewd: Installation
) -> None:
    """pydantic-settings wants JSON for a `list[str]`, and previewd gives values with commas: it fails at its start."""
    settings = (EXAMPLE / "app" / "settings.py").read_text()
    strict = settings.replace("Annotated[list[str], NoDecode]", "list[str]")
    assert strict != settings
    repository = forge.create_repository("acme/shop", EXAMPLE)
    pull = _open(forge, repository, {"app/settings.py": strict.encode()})
    await previewd.deliver()
    failed = await previewd.reaches("failed", seconds=FIRST_BUILD_SECONDS)
    (deployment,) = await previewd.deployments(failed)
    assert "x-preview: {encode: {" in deployment["remedy"]

    compose = (EXAMPLE / "docker-compose.preview.yml").read_text()
    remedied = compose + "\nx-preview:\n  encode: {ALLOWED_HOSTS: json, CORS_ORIGINS: json}\n"
    forge.push(pull, {"docker-compose.preview.yml": remedied.encode()})
    await previewd.deliver()
    preview = await previewd.reaches("ready", commit=pull.head_sha)
    await _answers_with_its_own_database(previewd, preview, pull.head_sha)


_MIGRATION = b"""
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("items", sa.Column("colour", sa.String))


def downgrade() -> None:
    op.drop_column("items", "colour")
"""


def _open(forge: Forge, repository: Repository, changes: dict[str, bytes | None]) -> PullRequest:
    forge.set_permission(repository, "ada", "write")
    forge.commit(repository, "feature", changes)
    return forge.open_pull(repository, "feature", author="ada")


async def _answers_with_its_own_database(previewd: Installation, preview: dict[str, Any], commit: str) -> None:
    health = await previewd.get(preview, "/health")
    assert health.json()["commit"] == commit
    assert health.headers["X-Previewd-Commit"] == commit
    assert len(await _items(previewd, preview)) > 0, "migrated and seeded"
    assert "<html" in (await previewd.get(preview, "/")).text


async def _survives_an_upgrade(previewd: Installation, preview: dict[str, Any]) -> None:
    """To upgrade is to stop and to start: containers of previews run on, and nobody looks at them anew."""
    running = {thing.id for thing in objects_of(previewd.instance, "container")}
    items = await _items(previewd, preview)
    await asyncio.to_thread(previewd.stop)
    with pytest.raises(httpx.ConnectError):
        await previewd.get(preview, "/health")
    previewd.start()
    await previewd.ready()

    async def answers() -> bool:
        try:
            return (await previewd.get(preview, "/health")).is_success
        except httpx.ConnectError:
            return False

    await eventually(answers, "the proxy is back, and the preview with it")
    assert await _items(previewd, preview) == items
    assert {thing.id for thing in objects_of(previewd.instance, "container")} == running
    (deployment,) = await previewd.deployments(preview)
    assert deployment["outcome"] == "ready"


async def _passes_what_browsers_send(previewd: Installation, preview: dict[str, Any]) -> None:
    host = {"Host": preview["host"]}
    posted = await previewd.proxy.post("/api/items", json={"name": "from a test"}, headers=host)
    assert posted.status_code == 201, posted.text
    async with previewd.proxy.stream("GET", "/api/stream", headers=host) as stream:
        first = await anext(stream.aiter_raw())
        assert first, "a part arrives before the whole is there"
    address = f"ws://{preview['host']}:{previewd.proxy_port}/ws"
    async with websockets.connect(address, proxy=None, host="127.0.0.1", port=previewd.proxy_port) as connection:
        await connection.send("hello")
        assert "hello" in str(await connection.recv())


async def _says_ready(forge: Forge, repository: Repository, pull: PullRequest, preview: dict[str, Any]) -> None:
    async def told() -> str | None:
        bodies = [comment.body for comment in repository.comments.values() if comment.number == pull.number]
        assert len(bodies) <= 1, "one comment, edited in place"
        return next((body for body in bodies if "Preview ready" in body and pull.head_sha[:7] in body), None)

    body = await eventually(told, "the comment says that the pushed commit is ready")
    assert preview["host"] in body
    assert "| source | build | database | environment | launch | probe |" in body


async def _items(previewd: Installation, preview: dict[str, Any]) -> list[Any]:
    return list((await previewd.get(preview, "/api/items")).json())
