"""What the forge is told of a preview, on a real Postgres: by the report, against the stand-in for GitHub."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import Context
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import func, literal, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.adapters.github.app import Tokens
from orchestrator.adapters.github.forge import GitHub
from orchestrator.adapters.github.http import Caller
from orchestrator.adapters.github.rate_limit import WINDOWS
from orchestrator.preview.state import PreviewId, State
from orchestrator.runtime import fence
from orchestrator.runtime.fence import Fence
from orchestrator.store.reports import AT_ONCE, CLAIM_SECONDS
from orchestrator.store.tables import previews
from tests.forge import Forge, PullRequest, Repository
from tests.forge.state import Installation
from tests.support.app_key import new_app_key
from tests.support.world import World
from worker.report import report


class Killed(BaseException):
    """What SIGKILL is to a process: nothing of ours runs after it."""


class Told(World):
    """A world whose forge is the stand-in over HTTP. `killed_after` cuts the worker off behind a request."""

    def __init__(self, database: AsyncEngine, data_dir: Path, forge: Forge, pull: PullRequest) -> None:
        super().__init__(database, data_dir)
        self.database, self.forge, self.opened = database, forge, pull
        fakes, self.preview = self.pull, PreviewId(pull.repository.id, pull.number)
        self.pull = replace(
            fakes,
            repository=pull.repository.id,
            head_repository=pull.repository.id,
            number=pull.number,
            head_commit=pull.head_sha,
        )
        self.killed_after: Callable[[httpx.Response], bool] = lambda _: False
        self._hook = {"response": [self._answered]}
        self.client = httpx.AsyncClient(base_url=forge.api_url, trust_env=False, event_hooks=self._hook)
        self._fake = self.context.forge
        self.connect()

    async def tell(self) -> None:
        """Sweeps, until nobody is left of whom the forge may be told now."""
        while due := await self.store.reports.due():
            for preview in due:
                await report(self.context, preview)

    async def worker_is_killed(self) -> None:
        with pytest.raises(Killed):
            await report(self.context, self.preview)
        self.killed_after = lambda _: False
        await self.pass_time()

    async def pass_time(self) -> None:
        """Claims and pauses end."""
        past = func.now() - text("interval '1 hour'")
        async with self.database.begin() as connection:
            await connection.execute(
                update(previews).where(previews.c.reporting_until.is_not(None)).values(reporting_until=past)
            )
            await connection.execute(
                update(previews).where(previews.c.report_after.is_not(None)).values(report_after=past)
            )

    async def row_is_told(self) -> bool:
        row = await self.row()
        return row.reported_at is not None and row.reported_at >= row.updated_at

    async def seconds_until(self, moment: object) -> float:
        async with self.database.connect() as connection:
            seconds = await connection.scalar(select(func.extract("epoch", literal(moment) - func.clock_timestamp())))
        return float(seconds or 0)

    def connect(self) -> None:
        """A worker that has just started: it remembers no refusal."""
        caller = Caller(self.client, write_gap=0)
        github = GitHub(caller, Tokens(caller, self.forge.token, None))
        self.context = replace(self.context, forge=cast("Any", _Reporting(self._fake, github)))

    def install(self) -> None:
        """Let everything be asked of the stand-in, as an App."""
        caller = Caller(self.client, write_gap=0)
        self.context = replace(self.context, forge=GitHub(caller, Tokens(caller, "", new_app_key())))

    @property
    def untold(self) -> list[str]:
        """What GitHub has nothing of, by the path where it is written."""
        there = self.opened.repository
        kinds = {"/comments": there.comments, "/statuses/": there.statuses, "/deployments": there.deployments}
        return [path for path, found in kinds.items() if not found]

    @property
    def comments(self) -> list[str]:
        return [comment.body for comment in self.opened.repository.comments.values()]

    @property
    def deployments(self) -> dict[str, list[str]]:
        found = self.opened.repository.deployments.values()
        return {each.sha: [status.state for status in each.statuses] for each in found}

    async def _answered(self, response: httpx.Response) -> None:
        if self.killed_after(response):
            raise Killed


class _Reporting:
    """Reads of the pull request are the fake's, which tests change at will; everything else is GitHub's."""

    def __init__(self, fake: object, github: GitHub) -> None:
        self._fake, self._github = fake, github

    def __getattr__(self, name: str) -> object:
        told = {"put_comment", "put_status", "put_deployment", "write_delay"}
        return getattr(self._github if name in told else self._fake, name)


@pytest.fixture(scope="module")
def server() -> Iterator[Forge]:
    with Forge() as running:
        yield running


@pytest.fixture
async def world(server: Forge, database: AsyncEngine, tmp_path: Path) -> AsyncIterator[Told]:
    server.heal()
    server.state.forbidden.clear()
    server.state.installation = Installation(id=1)
    server.requests.clear()
    repository = server.create_repository(f"octo/app-{uuid4()}", {"README.md": b"Hello\n"})
    server.commit(repository, "feature", {"a.txt": b"one\n"})
    pull = server.open_pull(repository, "feature", author="octo")
    told = Told(database, tmp_path, server, pull)
    async with told.client:
        await told.hint()
        yield told


def posted(path: str) -> Callable[[httpx.Response], bool]:
    return lambda response: response.request.method == "POST" and response.url.path.endswith(path)


async def test_a_preview_is_told_of_from_its_first_commit_to_its_end(world: Told) -> None:
    first = world.pull.head_commit
    await world.tell()
    await world.converge()
    await world.tell()
    assert world.deployments == {first: ["success"]}
    second = world.forge.push(world.opened, {"a.txt": b"two\n"})
    await world.change(head_commit=second)
    await world.converge()
    await world.tell()
    assert world.deployments == {first: ["success", "inactive"], second: ["success"]}
    (comment,) = world.comments
    assert "Preview ready" in comment
    assert world.opened.repository.statuses[-1].sha == second
    await world.change(open=False)
    await world.converge()
    await world.tell()
    assert world.deployments == {first: ["success", "inactive"], second: ["success", "inactive"]}
    assert "Preview removed" in world.comments[0]
    assert len(world.comments) == 1
    assert (await world.row()).forge_deployments == {}
    before = len(world.forge.requests)
    await world.tell()
    assert len(world.forge.requests) == before, "nothing new, nothing said"


@pytest.mark.parametrize("path", ["/comments", "/statuses/{sha}", "/deployments", "/statuses"])
async def test_a_worker_that_is_killed_behind_a_request_leaves_nothing_to_be_said_twice(world: Told, path: str) -> None:
    await world.converge()
    world.killed_after = posted(path.format(sha=world.pull.head_commit))
    await world.worker_is_killed()
    await world.tell()
    assert len(world.comments) == 1
    assert len(world.deployments) == 1
    assert await world.store.reports.due() == []


async def test_a_deployment_that_was_never_noted_ends_with_its_preview(world: Told) -> None:
    await world.converge()
    world.killed_after = posted("/deployments")
    await world.worker_is_killed()
    await world.change(open=False)
    await world.converge()
    await world.tell()
    assert world.deployments == {world.pull.head_commit: ["inactive"]}


@pytest.mark.parametrize(
    ("path", "status"),
    [("/comments", 404), ("/comments", 502), ("/statuses/", 403), ("/deployments", 403), ("/deployments", 502)],
)
async def test_a_fault_of_one_costs_the_others_nothing_and_is_tried_again(world: Told, path: str, status: int) -> None:
    await world.converge()
    world.forge.fail_next(status=status, count=3, method="POST", path=path)
    await report(world.context, world.preview)
    assert world.untold == [path]
    if path == "/deployments" and status != 502:
        assert await world.row_is_told(), "previews do without deployments"
        return
    row = await world.row()
    assert row.report_attempts == 1
    assert row.report_after is not None
    assert not await world.row_is_told()
    assert await world.store.reports.due() == [], "not before its pause is over"
    world.forge.heal()
    world.connect()
    await world.pass_time()
    await world.tell()
    assert world.untold == []
    assert await world.row_is_told()


async def test_a_pause_grows_and_ends_with_the_next_change(world: Told) -> None:
    await world.converge()
    world.forge.state.forbidden.add("issues")
    pauses = []
    for _ in range(4):
        await report(world.context, world.preview)
        row = await world.row()
        pauses.append(await world.seconds_until(row.report_after))
        await world.pass_time()
    assert [round(pause) for pause in pauses] == [2, 4, 8, 16]
    await report(world.context, world.preview)
    assert await world.store.reports.due() == []
    await world.change(open=False)
    await world.converge()
    assert await world.store.reports.due() == [world.preview]
    assert (await world.row()).report_attempts == 0


async def test_two_workers_do_not_tell_of_one_preview_at_once(world: Told) -> None:
    await world.converge()
    await asyncio.gather(*(report(world.context, world.preview) for _ in range(5)))
    assert len(world.comments) == 1
    assert len(world.deployments) == 1


async def test_a_change_while_it_is_told_is_told_next(world: Told) -> None:
    await world.converge()
    changed = False

    async def change(response: httpx.Response) -> None:
        nonlocal changed
        if posted("/comments")(response) and not changed:
            changed = True
            await world.change(open=False)
            await world.converge()

    world.client.event_hooks = {"response": [change]}
    await world.tell()
    assert "Preview removed" in world.comments[0]
    assert all(states[-1] == "inactive" for states in world.deployments.values())


async def test_a_deleted_comment_comes_back_once_until_something_changes(world: Told) -> None:
    await world.converge()
    await world.tell()
    for times in (1, 2, 3):
        row = await world.row()
        if row.comment_id in world.opened.repository.comments:
            del world.opened.repository.comments[row.comment_id]
            await world.store.reports.comment_deleted(world.preview.repository, row.comment_id)
        await world.tell()
        assert len(world.comments) == int(times == 1)
    await world.change(title="Another title", open=False)
    await world.converge()
    await world.tell()
    assert len(world.comments) == 1


async def test_somebody_elses_deleted_comment_is_nothing_to_us(world: Told) -> None:
    await world.converge()
    await world.tell()
    await world.store.reports.comment_deleted(world.preview.repository, 1)
    await world.store.reports.comment_deleted(world.preview.repository + 1, (await world.row()).comment_id)
    assert await world.store.reports.due() == []


async def test_a_locked_conversation_is_asked_again_when_something_changed(world: Told) -> None:
    await world.converge()
    world.opened.locked = True
    await world.tell()
    assert world.comments == []
    assert await world.store.reports.due() == []
    world.opened.locked = False
    await world.change(open=False)
    await world.converge()
    await world.tell()
    assert len(world.comments) == 1


async def test_when_our_access_is_gone_with_the_preview_nobody_is_told(world: Told) -> None:
    await world.converge()
    await world.tell()
    await world.change(open=False)
    await world.converge()
    repository = world.opened.repository
    world.forge.delete_repository(repository)
    await world.tell()
    assert await world.row_is_told()
    before = len(world.forge.requests)
    await world.pass_time()
    await world.tell()
    assert len(world.forge.requests) == before


@pytest.mark.parametrize("what", ["uninstall", "suspend", "take_away"])
async def test_when_the_app_is_taken_away_its_previews_go_and_nobody_calls_any_more(world: Told, what: str) -> None:
    """Whether GitHub said so or the event was lost: the next look finds it."""
    world.install()
    assert (await world.converge()).state is State.READY
    await world.tell()
    match what:
        case "uninstall":
            world.forge.uninstall()
        case "suspend":
            world.forge.suspend()
        case _:
            world.forge.take_away(world.opened.repository)
    await world.store.generations.look_at_all({world.preview.repository})
    assert (await world.converge()).state is State.REMOVED
    assert await world.leftovers() == []
    await world.tell()
    assert await world.row_is_told()
    before = len(world.forge.requests)
    await world.pass_time()
    assert await world.store.reports.due() == []
    assert [due for due, _ in await world.store.generations.due() if not due.is_template] == []
    assert len(world.forge.requests) == before


async def test_a_token_that_ends_during_a_build_ends_nothing_else(world: Told) -> None:
    world.install()

    async def end_tokens(effect: str) -> None:
        if effect in {"build", "start"}:
            world.forge.state.end_tokens()

    world.before = end_tokens
    assert (await world.converge()).state is State.READY
    await world.tell()
    assert world.deployments == {world.opened.head_sha: ["success"]}


async def test_a_repository_that_is_renamed_during_a_deployment_has_one_preview(world: Told) -> None:
    world.install()
    name = f"renamed-{uuid4()}"

    async def rename(effect: str) -> None:
        if effect == "fetch" and world.opened.repository.name != name:
            world.forge.rename_repository(world.opened.repository, name)

    world.before = rename
    before = await world.converge()
    assert before.state is State.READY
    stack = await world.leftovers()
    await world.store.generations.look_at_all({world.preview.repository})
    after = await world.converge()
    assert (after.state, after.repository_name, after.host) == (State.READY, f"octo/{name}", before.host)
    assert await world.leftovers() == stack
    await world.tell()
    assert len(world.comments) == 1


async def test_what_is_final_goes_first_and_few_at_once(world: Told) -> None:
    await crowd(world, 20)
    async with world.database.begin() as connection:
        ended = (3, 7, 11)
        await connection.execute(update(previews).where(previews.c.number.in_(ended)).values(state=State.FAILED))
    due = await world.store.reports.due()
    assert len(due) == AT_ONCE
    assert {preview.number for preview in due[: len(ended)]} == set(ended)


async def test_what_a_killed_worker_was_telling_of_holds_up_nobody_else(world: Told) -> None:
    await crowd(world, 20)
    claimed = await world.store.reports.due()
    for preview in claimed:
        assert await world.store.reports.begin(preview) is not None
    due = await world.store.reports.due()
    assert len(due) == AT_ONCE
    assert not set(due) & set(claimed)


async def test_of_a_crowd_every_final_comment_is_written_first_and_within_the_budget(world: Told) -> None:
    """What there is no room for waits, and nothing is sent that GitHub would refuse."""
    await crowd(world, 45)
    async with world.database.begin() as connection:
        await connection.execute(update(previews).where(previews.c.number > 15).values(state=State.FAILED))
    await world.tell()
    writes = [request for request in world.forge.requests if request.method != "GET"]
    half = WINDOWS[0].most // 2
    assert len(writes) == half, "progress takes no more than one half of a minute's"
    assert Counter("failed" in body for body in world.comments) == {True: 30, False: half - 30}
    async with world.database.begin() as connection:
        changed = {"state": State.FAILED, "report_after": None, "updated_at": func.clock_timestamp()}
        await connection.execute(update(previews).where(previews.c.number <= 15).values(changed))
    await world.tell()
    assert Counter("failed" in body for body in world.comments) == {True: 45}, "what ended since goes through at once"
    assert len({body.splitlines()[0] for body in world.comments}) == 45, "one each"


async def crowd(world: Told, count: int) -> None:
    """So many pull requests, hinted at and on their way."""
    repository: Repository = world.opened.repository
    for number in range(1, count + 1):
        repository.pulls[number] = world.opened
        world.turn_to(number)
        await world.hint()


async def test_a_worker_that_is_frozen_before_it_posts_writes_no_second_comment(world: Told) -> None:
    """It found no comment, stood still until another one had told, and woke."""
    await world.converge()
    frozen: list[Fence] = []

    async def freeze(request: httpx.Request) -> None:
        held = fence.current()
        if request.method == "POST" and held is not None and not frozen:
            frozen.append(held)
            held.clock = lambda: fence.now() + CLAIM_SECONDS
            await world.pass_time()
            await asyncio.create_task(report(world.context, world.preview), context=Context())

    world.client.event_hooks = {"request": [freeze]}
    caller = Caller(world.client, write_gap=0)
    await report(replace(world.context, forge=GitHub(caller, Tokens(caller, world.forge.token, None))), world.preview)
    assert frozen
    assert len(world.comments) == 1
    assert await world.row_is_told()


async def test_what_changes_while_it_is_told_is_told_before_the_rest_of_the_old(world: Told) -> None:
    """The comment of a preview that is ready waits for no status and no deployment of when it was on its way."""
    told: list[str] = []

    async def change(response: httpx.Response) -> None:
        path = response.url.path
        if response.request.method in {"POST", "PATCH"}:
            told.append("comment" if "/issues/" in path else path)
            if len(told) == 1:
                await world.converge()

    world.client.event_hooks = {"response": [change]}
    await world.tell()
    assert told[:2] == ["comment", "comment"], told
    assert "Preview ready" in world.comments[0]
    assert await world.row_is_told()
    assert world.untold == []


async def test_a_key_without_effect_is_told_on_the_pull_request(world: Told) -> None:
    world.files["compose.yaml"] += b"\nx-preview:\n  ttl: 72h\n"
    await world.converge()
    await world.tell()
    (comment,) = world.comments
    assert "x-preview.ttl: `ttl` is understood, but has no effect yet" in comment.replace("\\", "")
