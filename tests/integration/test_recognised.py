"""A repository with neither a Dockerfile nor a Compose file goes live, and its log has what was made of it."""

from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.compose.generated import missing_compose_file
from orchestrator.preview.state import State
from tests.forge import Forge
from tests.support.apps import recognisable
from tests.support.installation import Installation
from tests.support.world import World

FIRST_BUILD_SECONDS = 600


@pytest.mark.docker
@pytest.mark.timeout(900)
async def test_a_recognised_application_goes_live_with_its_database(forge: Forge, previewd: Installation) -> None:
    repository = forge.create_repository("acme/shop", recognisable())
    forge.set_permission(repository, "ada", "write")
    forge.commit(repository, "feature", {"NOTES.md": b"first\n"})
    pull = forge.open_pull(repository, "feature", author="ada")
    await previewd.deliver()
    preview = await previewd.reaches("ready", commit=pull.head_sha, seconds=FIRST_BUILD_SECONDS)
    health = (await previewd.get(preview, "/health")).json()
    assert health["commit"] == pull.head_sha
    assert health["database"], "the one that previewd made"

    logged = previewd.cli("logs", "1").stdout
    generated = missing_compose_file({**recognisable(), "NOTES.md": b""})
    assert generated.said in logged
    assert all(line in logged for line in generated.text.splitlines()), "the whole text, to be committed"


async def test_a_build_without_a_dockerfile_gets_one_and_the_pull_request_is_told(
    database: AsyncEngine, tmp_path: Path
) -> None:
    world = World(database, tmp_path)
    services = b"services: {api: {build: ./api, expose: [8000]}, worker: {build: ./api, command: x}}"
    compose = services + b"\nx-preview: {service: api}\n"
    world.files = {"compose.yaml": compose} | {f"api/{path}": text for path, text in recognisable().items()}
    await world.hint()
    preview = await world.converge()
    assert preview.state is State.READY, preview.reason
    (request,) = world.engine.built
    assert b'CMD ["uvicorn", "shop.main:app", ' in request.dockerfile
    (deployment,) = await world.queries.deployments(world.preview)
    said = "no api/Dockerfile: recognised FastAPI app `shop.main:app` (api/src/shop/main.py:7)"
    assert any(note.startswith(said) for note in deployment.notes)


async def test_nothing_to_recognise_fails_and_says_what_was_looked_for(database: AsyncEngine, tmp_path: Path) -> None:
    world = World(database, tmp_path)
    world.files = {"package.json": b"{}"}
    await world.hint()
    preview = await world.converge()
    assert preview.state is State.FAILED
    assert "looked for compose.preview.yaml" in preview.reason
    assert "package.json looks like Node" in preview.reason
    assert world.engine.built == []
