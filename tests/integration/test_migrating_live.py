"""The example application's database through what happens to it: copies, pushes that break, resets, and the end."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.forge import Forge, PullRequest, Repository
from tests.support.engine import objects_of
from tests.support.installation import EXAMPLE, Installation
from tests.support.wait import eventually

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

FIRST_BUILD_SECONDS = 600


async def test_the_database_of_a_live_preview_survives_whatever_is_pushed(forge: Forge, previewd: Installation) -> None:
    repository = forge.create_repository("acme/shop", EXAMPLE)
    forge.set_permission(repository, "ada", "write")
    first = _open(forge, repository, "first")
    await previewd.deliver()
    preview = await previewd.reaches("ready", commit=first.head_sha, seconds=FIRST_BUILD_SECONDS)
    await previewd.proxy.post("/api/items", json={"name": "of a visitor"}, headers={"Host": preview["host"]})
    items = await _items(previewd, preview)
    await eventually(lambda: _has_template(previewd), "the template of main is finished", FIRST_BUILD_SECONDS)

    second = _open(forge, repository, "second")
    await previewd.deliver()
    copied = await previewd.reaches("ready", number=second.number, commit=second.head_sha)
    assert "copied from main" in await _notes(previewd, copied)
    assert await _items(previewd, copied), "its seed is there"

    async with _visited(previewd, preview) as answers:
        forge.push(first, {"alembic/versions/0002_break.py": _migration("0002", "0001", 'op.execute("DROP TABLE no")')})
        await previewd.deliver()
        await previewd.reaches("failed", commit=first.head_sha)
        assert await _items(previewd, preview) == items
    # Its sessions end for a moment, twice: while the database is copied, and while the copy takes its place again.
    assert answers.count(httpx.codes.OK) > 0.8 * len(answers), answers
    assert answers[-1] == httpx.codes.OK
    failed = (await previewd.deployments(preview))[0]
    assert 'table "no" does not exist' in "\n".join(failed["log_tail"])

    heads = {
        "alembic/versions/0002_break.py": _migration("0002", "0001"),
        "alembic/versions/0003_too.py": _migration("0003", "0001"),
    }
    forge.push(first, heads)
    await previewd.deliver()
    await previewd.reaches("failed", commit=first.head_sha)
    failed = (await previewd.deployments(preview))[0]
    assert "alembic merge heads" in failed["remedy"]
    assert "0003_too.py" in failed["remedy"]
    assert await _items(previewd, preview) == items

    changed = (EXAMPLE / "alembic/versions/0001_create_items.py").read_bytes() + b"# another one\n"
    forge.push(first, dict.fromkeys(heads) | {"alembic/versions/0001_create_items.py": changed})
    await previewd.deliver()
    preview = await previewd.reaches("ready", commit=first.head_sha)
    assert "0001_create_items.py changed after it had been applied" in await _notes(previewd, preview)
    assert "of a visitor" not in json.dumps(await _items(previewd, preview))

    for pull in (first, second):
        forge.close(pull)
    await previewd.deliver()
    for pull in (first, second):
        await previewd.reaches("removed", number=pull.number)
    await eventually(lambda: _leaves_nothing(previewd), "nothing is left", 60)


def _open(forge: Forge, repository: Repository, branch: str) -> PullRequest:
    forge.commit(repository, branch, {"NOTES.md": branch.encode()})
    return forge.open_pull(repository, branch, author="ada")


def _migration(revision: str, down: str, statement: str = "pass") -> bytes:
    return (
        f"from alembic import op\n\nrevision = {revision!r}\ndown_revision = {down!r}\n\n\n"
        f"def upgrade():\n    {statement}\n\n\ndef downgrade():\n    pass\n"
    ).encode()


async def _items(previewd: Installation, preview: dict[str, Any]) -> Any:
    return (await previewd.get(preview, "/api/items")).json()


async def _notes(previewd: Installation, preview: dict[str, Any]) -> str:
    return "\n".join((await previewd.deployments(preview))[0]["notes"])


async def _has_template(previewd: Installation) -> bool:
    return "template finished" in previewd.log("worker")


async def _leaves_nothing(previewd: Installation) -> bool:
    leaks = await asyncio.to_thread(previewd.cli, "leaks", "--json")
    return json.loads(leaks.stdout) == [] and objects_of(previewd.instance) == []


@contextlib.asynccontextmanager
async def _visited(previewd: Installation, preview: dict[str, Any]) -> AsyncIterator[list[int]]:
    """Somebody looks at the page all the time; yields the answers."""
    answers: list[int] = []

    async def visit() -> None:
        while True:
            answers.append((await previewd.get(preview, "/")).status_code)
            await asyncio.sleep(0.1)

    visiting = asyncio.create_task(visit())
    try:
        yield answers
    finally:
        visiting.cancel()
        await asyncio.gather(visiting, return_exceptions=True)
