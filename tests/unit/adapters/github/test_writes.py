"""What the GitHub adapter writes, against the stand-in over real HTTP, and how often."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from uuid import uuid4

import httpx
import pytest

from orchestrator.adapters.github.app import Tokens
from orchestrator.adapters.github.forge import GitHub
from orchestrator.adapters.github.http import Caller
from orchestrator.adapters.github.rate_limit import WINDOWS
from orchestrator.ports.forge import ForgeDeployment
from orchestrator.preview.errors import ForgeGone, ForgeUnavailable, OperatorError
from tests.forge import Forge, PullRequest, Repository
from tests.forge.state import Comment, User

MARKER = "<!-- previewd 1-1 c0ffee -->"
BODY = f"{MARKER}\nready"


@pytest.fixture(scope="module")
def server() -> Iterator[Forge]:
    with Forge() as running:
        yield running


@pytest.fixture
def forge(server: Forge) -> Forge:
    """Each test has a repository of its own there."""
    server.heal()
    server.state.forbidden.clear()
    server.requests.clear()
    return server


@pytest.fixture
def pull(forge: Forge) -> PullRequest:
    repository = forge.create_repository(f"octo/app-{uuid4()}", {"README.md": b"Hello\n"})
    forge.commit(repository, "feature", {"feature.txt": b"one\n"})
    return forge.open_pull(repository, "feature", author="mona")


@pytest.fixture
def repository(pull: PullRequest) -> Repository:
    return pull.repository


@pytest.fixture
async def github(forge: Forge) -> AsyncIterator[GitHub]:
    async with httpx.AsyncClient(base_url=forge.api_url, trust_env=False) as client:
        caller = Caller(client, write_gap=0)
        yield GitHub(caller, Tokens(caller, forge.token, None))


def deployment(pull: PullRequest, state: str = "success") -> ForgeDeployment:
    return ForgeDeployment(
        environment="preview/pr-1",
        commit=pull.head_sha,
        state=state,
        description="Answers",
        url="https://pr-1.example.com",
        log_url="https://previewd.example.com/previews/1-1",
        marker=MARKER,
    )


def bodies(repository: Repository) -> list[str]:
    return [comment.body for comment in repository.comments.values()]


async def test_a_comment_that_nobody_noted_is_found_by_its_marker(github: GitHub, repository: Repository) -> None:
    written = await github.put_comment(repository.id, 1, MARKER, BODY, None)
    assert await github.put_comment(repository.id, 1, MARKER, f"{MARKER}\nfailed", None) == written
    assert bodies(repository) == [f"{MARKER}\nfailed"]


async def test_a_comment_that_nobody_noted_is_found_behind_a_page_of_others(
    github: GitHub, forge: Forge, repository: Repository
) -> None:
    for number in range(100):
        repository.comments[number] = Comment(id=number, number=1, user=User(id=number, login="mona"), body="hm")
    written = await github.put_comment(repository.id, 1, MARKER, BODY, None)
    assert await github.put_comment(repository.id, 1, MARKER, f"{MARKER}\nfailed", None) == written
    assert len(repository.comments) == 101
    forge.requests.clear()
    await github.put_comment(repository.id, 1, MARKER, BODY, None)
    assert len(forge.requests_to("GET", "/comments")) == 2


async def test_a_deleted_comment_is_written_anew_at_the_next_edit(github: GitHub, repository: Repository) -> None:
    written = await github.put_comment(repository.id, 1, MARKER, BODY, None)
    repository.comments.clear()
    again = await github.put_comment(repository.id, 1, MARKER, BODY, written)
    assert again not in (None, written)
    assert bodies(repository) == [BODY]


async def test_a_locked_conversation_is_left_alone(github: GitHub, pull: PullRequest, repository: Repository) -> None:
    pull.locked = True
    assert await github.put_comment(repository.id, 1, MARKER, BODY, None) is None
    pull.locked = False
    assert await github.put_comment(repository.id, 1, MARKER, BODY, None) is not None


async def test_a_refusal_is_an_error_and_is_not_repeated_for_a_while(
    github: GitHub, forge: Forge, repository: Repository
) -> None:
    forge.state.forbidden.add("issues")
    for _ in range(3):
        with pytest.raises(OperatorError):
            await github.put_comment(repository.id, 1, MARKER, BODY, None)
    assert len(forge.requests_to("POST", "/comments")) == 1
    await github.put_status(repository.id, forge.tip(repository, "feature"), "success", "ready", "")
    assert len(repository.statuses) == 1, "what is refused is comments only"


async def test_where_there_is_no_repository_nobody_can_be_told(github: GitHub, repository: Repository) -> None:
    with pytest.raises(ForgeGone):
        await github.put_comment(repository.id + 99, 1, MARKER, BODY, None)
    with pytest.raises(ForgeGone):
        await github.put_status(repository.id + 99, "a" * 40, "success", "ready", "")


async def test_a_status_of_a_commit_that_is_gone_is_no_fault(github: GitHub, repository: Repository) -> None:
    await github.put_status(repository.id, "a" * 40, "success", "ready", "")
    assert repository.statuses == []


async def test_a_deployment_is_made_once_and_then_says_what_is_new(
    github: GitHub, forge: Forge, pull: PullRequest, repository: Repository
) -> None:
    await github.put_status(repository.id, pull.head_sha, "pending", "being built", "")
    made = await github.put_deployment(repository.id, deployment(pull, "queued"), None)
    assert await github.put_deployment(repository.id, deployment(pull, "success"), made) == made
    assert await github.put_deployment(repository.id, deployment(pull, "inactive"), made) == made
    (kept,) = repository.deployments.values()
    assert (kept.id, kept.sha, kept.environment) == (made, pull.head_sha, "preview/pr-1")
    assert (kept.transient, kept.production) == (True, False)
    assert [status.state for status in kept.statuses] == ["queued", "success", "inactive"]
    assert kept.statuses[1].environment_url == "https://pr-1.example.com"
    (request,) = forge.requests_to("POST", "/deployments")[:1]
    assert request.json()["auto_merge"] is False, "the default branch must not be merged into the pull request"


async def test_a_deployment_that_nobody_noted_is_found_again(
    github: GitHub, forge: Forge, pull: PullRequest, repository: Repository
) -> None:
    """The worker was killed after it was made: between the two requests, or before the answer was noted."""
    forge.fail_next(status=502, method="POST", path="/statuses")
    with pytest.raises(ForgeUnavailable):
        await github.put_deployment(repository.id, deployment(pull), None)
    made = await github.put_deployment(repository.id, deployment(pull), None)
    assert await github.put_deployment(repository.id, deployment(pull, "inactive"), None) == made
    assert list(repository.deployments) == [made]


async def test_somebody_elses_deployment_of_the_commit_is_left_alone(
    github: GitHub, pull: PullRequest, repository: Repository
) -> None:
    theirs = await github.put_deployment(repository.id, replace(deployment(pull), marker="another previewd"), None)
    ours = await github.put_deployment(repository.id, deployment(pull), None)
    assert ours != theirs
    assert (
        await github.put_deployment(repository.id, replace(deployment(pull, "inactive"), marker="nobody"), None) is None
    )
    assert all(each.active for each in repository.deployments.values())


async def test_a_deleted_deployment_is_made_anew(github: GitHub, pull: PullRequest, repository: Repository) -> None:
    made = await github.put_deployment(repository.id, deployment(pull), None)
    repository.deployments.clear()
    again = await github.put_deployment(repository.id, deployment(pull), made)
    assert again not in (None, made)
    repository.deployments.clear()
    assert await github.put_deployment(repository.id, deployment(pull, "inactive"), again) is None
    assert repository.deployments == {}


async def test_who_may_not_write_deployments_does_without(
    github: GitHub, forge: Forge, pull: PullRequest, repository: Repository
) -> None:
    forge.state.forbidden.add("deployments")
    for _ in range(3):
        assert await github.put_deployment(repository.id, deployment(pull), None) is None
    asked = [request for request in forge.requests if "/deployments" in request.path]
    assert len(asked) <= 2, "it is remembered"
    assert await github.put_comment(repository.id, 1, MARKER, BODY, None) is not None


async def test_a_commit_that_is_gone_has_no_deployment(github: GitHub, pull: PullRequest) -> None:
    gone = replace(deployment(pull), commit="a" * 40)
    assert await github.put_deployment(pull.repository.id, gone, None) is None


@pytest.mark.parametrize("retry_after", [30, None])
async def test_while_github_wants_silence_nothing_is_sent(
    github: GitHub, forge: Forge, repository: Repository, retry_after: int | None
) -> None:
    forge.limit_next(retry_after=retry_after, method="POST")
    with pytest.raises(ForgeUnavailable):
        await github.put_comment(repository.id, 1, MARKER, BODY, None)
    before = len(forge.requests)
    with pytest.raises(ForgeUnavailable) as caught:
        await github.pull(repository.id, 1)
    assert caught.value.retry_after > 25
    for attempt in (
        github.put_comment(repository.id, 1, MARKER, BODY, None),
        github.put_status(repository.id, "a" * 40, "success", "", ""),
    ):
        with pytest.raises(ForgeUnavailable):
            await attempt
    assert github.write_delay(final=True) > 25
    assert len(forge.requests) == before


async def test_who_stands_in_line_sends_nothing_after_github_asked_for_silence(
    github: GitHub, forge: Forge, repository: Repository
) -> None:
    forge.delay_next(seconds=0.2, method="POST", path="/statuses")
    forge.limit_next(method="POST", retry_after=30)
    sha = forge.tip(repository, "feature")
    writes = [github.put_status(repository.id, sha, "success", "", "") for _ in range(5)]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert sum(isinstance(outcome, ForgeUnavailable) for outcome in outcomes) == 4
    assert len(forge.requests_to("POST", "/statuses")) == 2


async def test_no_more_is_written_than_github_takes(github: GitHub, forge: Forge, repository: Repository) -> None:
    sha = forge.tip(repository, "feature")
    most = WINDOWS[0].most
    outcomes = await asyncio.gather(
        *(github.put_status(repository.id, sha, "success", "", "") for _ in range(most + 10)), return_exceptions=True
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, ForgeUnavailable)]
    assert len(refused) == 10
    assert refused[0].retry_after > 30
    assert len(forge.requests_to("POST", "/statuses")) == most
    assert await github.pull(repository.id, 1) is not None, "reading goes on: it is on the way of a deployment"
    assert github.write_delay(final=True) > 30
