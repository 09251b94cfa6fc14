"""The commands on a real database: what they print, and the exit codes that scripts rely on."""

import asyncio
import json
import os
import re
import subprocess
import sys

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.preview.errors import LaunchError
from orchestrator.preview.state import PreviewId, State, Step
from orchestrator.store.deliveries import Delivery, Hint
from orchestrator.store.store import Store

FIRST, SECOND = PreviewId(1, 7), PreviewId(2, 7)


@pytest.fixture
async def filled(database: AsyncEngine, database_url: str) -> str:
    store = Store.of(database)
    for preview, repository in ((FIRST, "acme/shop"), (SECOND, "beta/shop")):
        hint = Hint(
            preview=preview, repository_name=repository, title="Prices", author="mira", branch="b",
            hosts=(f"pr-{preview}.preview.test",),
        )  # fmt: skip
        await store.deliveries.record(
            Delivery(id=str(preview), event="pull_request", action="opened", outcome="accepted", reason=""), hint
        )
    lease = await store.claims.acquire(FIRST)
    assert lease is not None
    deployment = await lease.deployments.start(1, "a" * 40)
    await lease.deployments.enter_step(deployment, Step.LAUNCH, State.BUILDING)
    await store.logs.append(deployment, Step.LAUNCH, ["hello \x1b[31mred"])
    await lease.deployments.close("failed", LaunchError("it exits", "start it", ("the last line",)))
    await lease.advance(State.FAILED, "launch: it exits")
    await lease.release()
    return database_url


async def previewd(database_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREVIEWD_")}
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "orchestrator.cli", *arguments],
        env=environment | {"PREVIEWD_DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        check=False,
    )


async def test_ls(filled: str) -> None:
    done = await previewd(filled, "ls")
    assert done.returncode == 0
    assert "acme/shop#7" in done.stdout
    assert "failed" in done.stdout
    found = json.loads((await previewd(filled, "ls", "--json")).stdout)
    assert {preview["id"] for preview in found} == {"1-7", "2-7"}


async def test_show(filled: str) -> None:
    done = await previewd(filled, "show", "acme/shop#7")
    for text in ("failed", "it exits", "start it", "the last line", "launch"):
        assert text in done.stdout
    found = json.loads((await previewd(filled, "show", "1-7", "--json")).stdout)
    assert (found["state"], found["deployments"][0]["failed_step"]) == ("failed", "launch")
    assert [change["target"] for change in found["transitions"]] == ["building", "failed"]


async def test_logs(filled: str) -> None:
    done = await previewd(filled, "logs", "1-7", "--follow")
    assert done.stdout.split() == ["launch", "hello", "red"]
    assert re.fullmatch(r"deployment \d+ of [0-9a-f]{7}: failed\n", done.stderr)
    assert (await previewd(filled, "logs", "2-7")).stdout == "nothing was deployed yet\n"
    assert (await previewd(filled, "logs", "1-7", "--deployment", "999")).returncode == 2


@pytest.mark.parametrize("which", ["9-9", "#99", "nobody", "99999999999999999999-1"])
async def test_an_unknown_id_is_2(filled: str, which: str) -> None:
    assert (await previewd(filled, "show", which)).returncode == 2


async def test_an_ambiguous_id_is_2_and_lists_the_candidates(filled: str) -> None:
    done = await previewd(filled, "deploy", "7")
    assert done.returncode == 2
    assert "1-7" in done.stderr
    assert "2-7" in done.stderr


async def test_deploy_works_without_redis(filled: str) -> None:
    done = await previewd(filled, "deploy", "1-7")
    assert (done.returncode, "1-7 will be deployed again" in done.stdout) == (0, True)


async def test_migrate_may_be_repeated(database_url: str) -> None:
    assert (await previewd(database_url, "migrate")).returncode == 0
