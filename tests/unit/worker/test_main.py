"""The worker's process: what it says when it cannot start, and how it ends."""

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from orchestrator.preview.state import PreviewId
from orchestrator.runtime.concurrency import run_all
from orchestrator.runtime.settings import Settings
from tests.support.wait import eventually
from worker import main
from worker.context.context import WorkerContext
from worker.context.tasks import Tasks


def test_without_our_postgres_it_ends_with_the_reason_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = "postgresql://previewd:a-password@127.0.0.1:1/previewd"
    settings = Settings(
        database_url=nowhere, previews_database_url=nowhere, redis_url="redis://127.0.0.1:1/0", secret_key="key"
    )
    monkeypatch.setattr(main, "load_settings", lambda: settings)
    assert main.main() == 1
    said = capsys.readouterr().err
    assert said.startswith("error: previewd's own Postgres does not answer: ")
    assert "PREVIEWD_DATABASE_URL" in said
    assert "a-password" not in said
    assert "Traceback" not in said


async def test_jobs_give_their_leases_back_before_a_chore_that_ends_late() -> None:
    context = cast("WorkerContext", SimpleNamespace(tasks=Tasks()))
    given_back = asyncio.Event()

    async def job() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            given_back.set()

    async def chore() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await given_back.wait()  # as one whose thread takes longer than we have

    context.tasks.start("converge", PreviewId(1, 1), job, 10)
    working = asyncio.create_task(run_all(chore(), main._end_jobs(context)))
    await asyncio.sleep(0)
    working.cancel()

    async def ended() -> bool:
        return working.done()

    await eventually(ended, "everything has ended")
    assert context.tasks.count("converge") == 0
