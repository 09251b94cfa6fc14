"""What happens to previews when things go another way: who may run, pushes in a hurry, kills, failures, neighbours."""

import asyncio
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import SplitResult, urlsplit

import asyncpg
import psutil
import pytest
import pytest_asyncio

from tests.forge import Forge, PullRequest
from tests.support.apps import crashing, slow_build, tiny
from tests.support.engine import engine, objects_of
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
    """One for the whole module: each test has repositories of its own, and leaves none of their previews."""
    async with Installation(forge) as previewd:
        yield previewd


@pytest.fixture
def team(forge: Forge, previewd: Installation, request: pytest.FixtureRequest) -> Team:
    return Team(forge, previewd, request.node.name.replace("_", "-")[5:40].strip("-"))


def part_of(previewd: Installation, name: str) -> psutil.Process:
    """The process of a part of `previewd up`."""
    assert previewd.process is not None
    for child in psutil.Process(previewd.process.pid).children(recursive=True):
        if name in (child.name(), child.cmdline()[-1]):
            return child
    raise AssertionError(f"no {name} runs")


async def test_others_wait_and_the_comment_says_why(team: Team, forge: Forge, previewd: Installation) -> None:
    fork = forge.create_fork(team.repository, "mallory")
    stranger = await team.open(tiny("evil"), head_repository=fork, author="mallory")
    await team.says(stranger, "No preview yet", "comes from a fork")

    orphan_fork = forge.create_fork(team.repository, "ghost")
    orphan = await team.open(tiny("evil"), head_repository=orphan_fork, author="ghost", branch="gone")
    await team.reaches(orphan, "waiting")
    forge.delete_repository(orphan_fork)
    await previewd.api.post(f"/previews/{team.repository.id}-{orphan.number}/redeploy")
    await team.says(orphan, "No preview yet", "fork that it comes from was deleted")

    reader = await team.open(tiny("hasty"), author="rita", branch="reader")
    await team.says(reader, "No preview yet", "no write access")

    forge.set_permission(team.repository, "renovate[bot]", "write")
    bot = await team.open(tiny("robot"), author="renovate[bot]", branch="bot")
    await team.says(bot, "No preview yet", "is a bot")

    draft = await team.open(tiny("draft"), branch="draft", draft=True)
    await team.says(draft, "No preview yet", "is a draft")

    assert objects_of(previewd.instance) == [], "nothing was fetched, built or started for any of them"
    forge.ready_for_review(draft)
    await previewd.deliver()
    await team.reaches(draft, "ready")
    for pull in (stranger, orphan, reader, bot, draft):
        await team.close(pull)


async def test_the_newest_of_several_pushes_serves(team: Team) -> None:
    pull = await team.open(slow_build(30, "first"))
    await team.reaches(pull, "building")
    for number in range(5):
        await team.push(pull, tiny(f"push {number}"))
    preview = await team.reaches(pull, "ready")
    assert await team.answer(pull) == "push 4"

    async def told() -> list[str | None]:
        outcomes = [d["outcome"] for d in await team.previewd.deployments(preview)]
        return outcomes if outcomes[0] else []

    outcomes = await eventually(told, "the deployment that serves is over")
    assert outcomes[0] == "ready"
    assert "superseded" in outcomes
    assert len(outcomes) <= 4, "pushes that came while one was running are answered together"
    await team.close(pull)


async def test_closing_during_a_build_leaves_nothing(team: Team, previewd: Installation) -> None:
    pull = await team.open(slow_build(60))
    await team.reaches(pull, "building")
    await team.close(pull)
    assert objects_of(previewd.instance) == []


async def test_a_worker_killed_in_a_build_is_replaced_and_the_preview_goes_live(
    team: Team, previewd: Installation
) -> None:
    pull = await team.open(slow_build(4, "survived"))
    await team.reaches(pull, "building")

    async def is_building() -> bool:
        log = await previewd.api.get(f"/previews/{team.repository.id}-{pull.number}/logs")
        return "sleep 4" in log.text

    await eventually(is_building, "the build's own output is recorded while it runs")
    part_of(previewd, "worker").kill()
    killed = time.monotonic()

    async def is_resumed() -> bool:
        deployments = await previewd.deployments(await team.preview(pull))
        return len(deployments) > 1

    await eventually(is_resumed, "another worker goes on")
    print(f"resumed {time.monotonic() - killed:.1f} s after the kill")
    await team.reaches(pull, "ready")
    assert await team.answer(pull) == "survived"
    outcomes = [d["outcome"] for d in await previewd.deployments(await team.preview(pull))]
    assert outcomes == ["ready", "interrupted"]
    await team.close(pull)
    assert objects_of(previewd.instance) == []


async def test_a_worker_that_was_frozen_in_a_build_changes_nothing_when_it_wakes(
    team: Team, previewd: Installation
) -> None:
    answer = (
        f"thawed-{secrets.token_hex(4)}"  # a build that an earlier run of this test left in the cache takes no time
    )
    pull = await team.open(slow_build(3, answer))
    await eventually(lambda: _says(team, pull, "sleep 3"), "the build's own output is recorded while it runs")
    frozen = part_of(previewd, "worker")
    frozen.suspend()
    try:
        with a_second_worker(previewd):
            ready = await team.reaches(pull, "ready")
            before = containers_of(previewd.instance)
            frozen.resume()
            await eventually(lambda: asyncio.sleep(0, "lease lost" in previewd.log("worker")), "it knows by itself")
            assert await team.answer(pull) == answer
            assert containers_of(previewd.instance) == before
            assert await team.preview(pull) == ready
            outcomes = [d["outcome"] for d in await previewd.deployments(ready)]
            assert outcomes == ["ready", "interrupted"]
    finally:
        frozen.resume()
    await team.close(pull)
    assert objects_of(previewd.instance) == []


@contextmanager
def a_second_worker(previewd: Installation) -> Iterator[None]:
    """A process beside the one that `previewd up` runs, with the same settings."""
    with (previewd.data_dir / "log" / "second.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator.cli", "worker"],
            cwd=previewd.data_dir,
            env=previewd.environment,
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def containers_of(instance: str) -> set[str]:
    """Every container of an instance by its id, running or not."""
    with engine() as api:
        found = api.containers(all=True, filters={"label": [f"dev.previewd.instance={instance}"]})
    return {container["Id"] for container in found}


async def _says(team: Team, pull: PullRequest, words: str) -> bool:
    return words in await team.log(pull)


async def test_a_delivery_while_redis_hangs_is_answered_and_acted_upon_later(
    team: Team, previewd: Installation
) -> None:
    redis = part_of(previewd, "redis-server")
    redis.suspend()
    try:
        pull = await team.open(tiny("late"))  # asserts the 202
    finally:
        redis.resume()
    await team.reaches(pull, "ready")
    assert await team.answer(pull) == "late"
    await team.close(pull)


async def test_a_failing_push_leaves_the_last_good_commit_serving(team: Team) -> None:
    pull = await team.open(tiny("good"))
    await team.reaches(pull, "ready")
    good = pull.head_sha
    await team.push(pull, crashing("the disk of dreams is full"))
    failed = await team.reaches(pull, "failed")
    assert failed["serving_commit"] == good
    assert await team.answer(pull) == "good"
    body = await team.says(pull, "Preview failed", "the disk of dreams is full")
    assert f"`{good[:7]}` still answers" in body
    await team.push(pull, tiny("better"))
    await team.reaches(pull, "ready")
    assert await team.answer(pull) == "better"
    await team.close(pull)


async def test_a_build_that_fails_shows_its_line_and_its_output(team: Team) -> None:
    broken = {**tiny(), "Dockerfile": b"FROM python:3.11-slim\nRUN echo about to fall && false\n"}
    pull = await team.open(broken)
    failed = await team.reaches(pull, "failed")
    assert "about to fall" in failed["reason"]
    await team.says(pull, "Preview failed", "at **build**", "about to fall")
    await team.close(pull)


async def test_a_list_that_does_not_parse_is_named_with_the_remedy(team: Team) -> None:
    message = (
        'pydantic_settings.SettingsError: error parsing value for field "cors_origins" from source "EnvSettingsSource"'
    )
    pull = await team.open(crashing(message))
    await team.reaches(pull, "failed")
    await team.says(pull, "cors", "x-preview", "encode", "json")
    await team.close(pull)


async def test_two_previews_cannot_reach_each_other_nor_the_control_plane(team: Team, previewd: Installation) -> None:
    first = await team.open(tiny("one"), branch="one")
    second = await team.open(tiny("two"), branch="two")
    await asyncio.gather(team.reaches(first, "ready"), team.reaches(second, "ready"))

    assert await team.answer(first) == "one"
    other = await _address_of(team, second)
    refused = await team.answer(first, f"/reach/{other}/8000")
    assert refused.startswith("refused"), "another preview's container"

    own, others = await _database_url(team, first), await _database_url(team, second)
    gateway, port = own.hostname, own.port
    assert await team.answer(first, f"/reach/{gateway}/{port}") == "reached", "its own database, on the gateway"
    login: dict[str, Any] = {"host": gateway, "port": port, "user": own.username, "password": own.password}
    await (await asyncpg.connect(**login, database=own.path[1:])).close()
    with pytest.raises(asyncpg.PostgresError):
        await asyncpg.connect(**login, database=others.path[1:])

    for name, listening in await _control_plane(previewd):
        answers = [await team.answer(first, f"/reach/{address}/{listening}") for address in (str(gateway), "127.0.0.1")]
        assert all(answer.startswith("refused") for answer in answers), f"{name} answers from inside a preview"
    for pull in (first, second):
        await team.close(pull)


_LINK_FROM_WITHIN = """\
services:
  evil:
    build: .
    command: ["sh", "-c", "rm -rf /d/inner; ln -s /etc /d/inner"]
    volumes: ["./data:/d"]
  app:
    build: .
    expose: ["8000"]
    volumes: ["./data/inner:/x"]
    depends_on: {evil: {condition: service_completed_successfully}}
x-preview: {service: app}
"""


async def test_no_link_that_a_container_makes_leads_to_the_host(team: Team) -> None:
    """A bound folder inside another one could be replaced by a link before the Engine mounts it."""
    pull = await team.open({**tiny(compose=_LINK_FROM_WITHIN), "data/inner/kept": b"from the repository"})
    await team.reaches(pull, "ready")
    assert await team.answer(pull, "/list/x") == "kept"
    await team.close(pull)


async def _database_url(team: Team, pull: PullRequest) -> SplitResult:
    """What the application was given, read from inside it."""
    lines = (await team.answer(pull, "/environment")).splitlines()
    return urlsplit(dict(line.partition("=")[::2] for line in lines)["DATABASE_URL"])


async def _address_of(team: Team, pull: PullRequest) -> str:
    wanted = {"label": [f"dev.previewd.pull={pull.number}", f"dev.previewd.repository={team.repository.id}"]}
    with engine() as api:
        (container,) = api.containers(filters=wanted)
    (network,) = container["NetworkSettings"]["Networks"].values()
    return str(network["IPAddress"])


async def _control_plane(previewd: Installation) -> list[tuple[str, int]]:
    """Every port on which something of ours listens, but the previews' own Postgres."""
    values = dict(line.partition("=")[::2] for line in (previewd.data_dir / "up.env").read_text().splitlines())
    ports = {
        "own Postgres": values["PREVIEWD_DATABASE_URL"].rpartition(":")[2].partition("/")[0],
        "Redis": values["PREVIEWD_REDIS_URL"].rpartition(":")[2].partition("/")[0],
    }
    return [
        *((name, int(port)) for name, port in ports.items()),
        ("web", previewd.web_port),
        ("router", previewd.router_port),
        ("Caddy", previewd.proxy_port),
        ("Caddy's admin", 2019),
    ]
