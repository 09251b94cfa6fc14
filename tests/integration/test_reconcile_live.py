"""The reconciler on a whole previewd: the killed comes back, the leaked is told and goes, the foreign stays."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import httpx
import psutil
import pytest
import pytest_asyncio
from dotenv import dotenv_values

from orchestrator.preview.names import Names
from orchestrator.preview.state import PreviewId
from tests.forge import Forge, PullRequest
from tests.support.apps import tiny
from tests.support.engine import engine, objects_of
from tests.support.images import BASE_IMAGE
from tests.support.installation import Installation
from tests.support.team import Team
from tests.support.wait import eventually

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def forge() -> Iterator[Forge]:
    with Forge() as forge:
        yield forge


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def previewd(forge: Forge) -> AsyncIterator[Installation]:
    async with Installation(forge) as previewd:
        yield previewd


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(forge: Forge, previewd: Installation) -> tuple[Team, PullRequest]:
    """A preview that stands."""
    team = Team(forge, previewd, "stands")
    pull = await team.open(tiny("it stands"))
    await team.reaches(pull, "ready")
    return team, pull


async def test_what_is_killed_is_told_and_comes_back(live: tuple[Team, PullRequest], previewd: Installation) -> None:
    team, pull = live
    preview = await team.preview(pull)
    (first,) = await previewd.deployments(preview)
    (container,) = objects_of(previewd.instance, "container")
    with engine() as api:
        await asyncio.to_thread(api.kill, container.id)

    async def again() -> bool:
        newest = (await previewd.deployments(preview))[0]
        return bool(newest["id"] != first["id"] and newest["outcome"] == "ready")

    await eventually(again, "it was brought up again")
    assert await team.answer(pull) == "it stands"
    await team.says(pull, "Preview ready", "service app exited with code 137")
    (same,) = objects_of(previewd.instance, "container")
    assert same.id == container.id, "it was started again, not made anew"


async def test_what_leaked_is_told_and_goes_and_what_is_foreign_stays(
    live: tuple[Team, PullRequest], previewd: Installation
) -> None:
    team, pull = live
    mine = PreviewId(team.repository.id, 99)
    names = Names(instance=previewd.instance, preview=mine)
    before = objects_of(previewd.instance)
    worker = _worker(previewd)
    foreign = await asyncio.to_thread(_plant, f"{previewd.instance}foreign", {"somebody": "else"})
    try:
        worker.send_signal(signal.SIGSTOP)
        try:
            await asyncio.to_thread(_plant, f"{names.project}-left", names.labels())
            await _make_database(previewd, names.database)
            told = await asyncio.to_thread(previewd.cli, "leaks", "--json")
            planned = await asyncio.to_thread(previewd.cli, "reconcile", "--dry-run")
        finally:
            worker.send_signal(signal.SIGCONT)
        assert told.returncode == 1, told.stderr
        leaks = json.loads(told.stdout)
        assert {leak["kind"] for leak in leaks} == {"container", "network", "volume", "database"}
        assert {leak["reason"] for leak in leaks} == {f"it is of preview {mine}, of which nothing is known here"}
        assert planned.stdout.count(f"of preview {mine}") == len(leaks), planned.stderr
        assert (await asyncio.to_thread(previewd.cli, "reconcile")).returncode == 0

        async def nothing() -> bool:
            left = await asyncio.to_thread(previewd.cli, "leaks", "--json")
            return left.stdout.strip() == "[]"

        await eventually(nothing, "what leaked is gone", 90)
        assert sorted(thing.id for thing in objects_of(previewd.instance)) == sorted(thing.id for thing in before)
        with engine() as api:
            api.inspect_container(foreign)
            api.inspect_volume(foreign)
            assert api.networks(names=[foreign])
        assert await team.answer(pull) == "it stands"
    finally:
        await asyncio.to_thread(_remove, foreign)


async def test_caddy_says_where_it_leads_to_nobody_else(live: tuple[Team, PullRequest], previewd: Installation) -> None:
    team, pull = live
    preview = await team.preview(pull)
    answer: httpx.Response = await previewd.proxy.get(
        "/", headers={"Host": preview["host"], "X-Previewd-Route": "guessed"}
    )
    assert (answer.status_code, answer.text) == (200, "it stands")
    seen: dict[str, Any] = (await previewd.api.get("/leaks")).json()
    assert seen["at"]
    assert seen["unknown"] == [], "Caddy, too, has answered the worker"


def _worker(previewd: Installation) -> psutil.Process:
    assert previewd.process is not None
    children = psutil.Process(previewd.process.pid).children(recursive=True)
    (worker,) = [child for child in children if "worker" in child.cmdline()[-1]]
    return worker


def _plant(name: str, labels: dict[str, str]) -> str:
    with engine() as api:
        api.create_container(BASE_IMAGE, ["true"], name=name, labels=labels)
        api.create_network(name, labels=labels)
        api.create_volume(name, labels=labels)
    return name


def _remove(name: str) -> None:
    with engine() as api:
        api.remove_container(name, v=True, force=True)
        api.remove_network(name)
        api.remove_volume(name, force=True)


async def _make_database(previewd: Installation, name: str) -> None:
    url = dotenv_values(previewd.data_dir / "up.env", interpolate=False)["PREVIEWD_PREVIEWS_DATABASE_URL"]
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
