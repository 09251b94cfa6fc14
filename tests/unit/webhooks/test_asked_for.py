"""Deploying again and resetting a database, as the API and the dashboard take it: without a server behind them."""

import asyncio
import time
from datetime import UTC, datetime

import httpx
import pytest
from pydantic import SecretStr

from orchestrator.preview.records import Preview
from orchestrator.preview.state import PreviewId, State
from orchestrator.runtime import queue
from orchestrator.runtime.settings import Settings
from webhooks.app import create_app
from webhooks.dashboard import session

SHOP = PreviewId(4211, 7)
SETTINGS = Settings(
    database_url=SecretStr("postgresql://x@127.0.0.1:1/x"),
    redis_url=SecretStr("redis://127.0.0.1:1"),
    admin_token=SecretStr("admin-token"),
    public_url="http://dashboard.test",
    _env_file=None,
)
API = {"Authorization": "Bearer admin-token"}
PEOPLE = {"Origin": "http://dashboard.test"}
DOORS = [("/api/v1", API, 202), ("", PEOPLE, 303)]


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> "App":
    return App(monkeypatch)


class App:
    """The web process, of which the store is told what to say and Redis hangs."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._app = create_app(SETTINGS)
        web = self._app.state.web
        self.generation: int | None = 2
        self.woken: list[tuple[PreviewId, int]] = []

        async def preview(_: PreviewId) -> Preview:
            return SOME

        async def asked(_: PreviewId) -> int | None:
            return self.generation

        async def wake(preview: PreviewId, generation: int) -> bool:
            self.woken.append((preview, generation))
            await asyncio.Event().wait()
            return True

        patch.setattr(web.queries, "preview", preview)
        patch.setattr(web.store.generations, "force", asked)
        patch.setattr(web.store.generations, "reset", asked)
        patch.setattr(web.queue, "wake", wake)
        patch.setattr(queue, "WAKE_SECONDS", 0.01)

    async def post(self, path: str, headers: dict[str, str]) -> httpx.Response:
        cookies = {session.cookie_name(SETTINGS): session.issue(SETTINGS, time.time())}
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(self._app), base_url="http://dashboard.test", cookies=cookies
        ) as client:
            return await client.post(path, headers=headers)


@pytest.mark.parametrize("action", ["redeploy", "reset-database"])
@pytest.mark.parametrize(("prefix", "headers", "status"), DOORS, ids=["api", "dashboard"])
async def test_nobody_waits_for_a_redis_that_hangs(
    app: App, prefix: str, headers: dict[str, str], status: int, action: str
) -> None:
    answer = await app.post(f"{prefix}/previews/{SHOP}/{action}", headers)
    assert answer.status_code == status
    assert app.woken == [(SHOP, 2)]


@pytest.mark.parametrize("action", ["redeploy", "reset-database"])
@pytest.mark.parametrize(("prefix", "headers", "_"), DOORS, ids=["api", "dashboard"])
async def test_a_preview_that_went_meanwhile_is_404(
    app: App, prefix: str, headers: dict[str, str], _: int, action: str
) -> None:
    app.generation = None
    answer = await app.post(f"{prefix}/previews/{SHOP}/{action}", headers)
    assert answer.status_code == 404
    assert app.woken == []


SOME = Preview(
    id=SHOP,
    repository_name="acme/shop",
    title="Add prices",
    author="mira",
    branch="prices",
    host="pr-7-shop.preview.test",
    state=State.READY,
    reason="",
    commit="a" * 40,
    serving_commit="a" * 40,
    created_at=datetime.now(UTC),
    updated_at=datetime.now(UTC),
    waits_for=None,
    place=None,
)
