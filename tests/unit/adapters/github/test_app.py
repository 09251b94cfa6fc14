"""The GitHub adapter as an App, against the stand-in over real HTTP: tokens, installations, and what is taken away."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from orchestrator.adapters.git.sources import GitSources
from orchestrator.adapters.github.app import Tokens
from orchestrator.adapters.github.forge import GitHub
from orchestrator.adapters.github.http import Caller
from orchestrator.preview.errors import ForgeUnavailable, OperatorError
from tests.forge import Forge, PullRequest, Repository
from tests.forge.state import Installation
from tests.support.app_key import new_app_key


@pytest.fixture(scope="module")
def server() -> Iterator[Forge]:
    with Forge() as running:
        yield running


@pytest.fixture
def forge(server: Forge) -> Forge:
    """Each test has its repositories, and an App that is installed."""
    server.state.repositories.clear()
    server.state.former_names.clear()
    server.state.end_tokens()
    server.state.installation = Installation(id=1)
    server.state.token_lifetime = timedelta(hours=1)
    server.heal()
    server.requests.clear()
    server.take_deliveries()
    return server


@pytest.fixture
def pull(forge: Forge) -> PullRequest:
    repository = forge.create_repository(f"octo/app-{uuid4()}", {"README.md": b"Hello\n"}, private=True)
    forge.commit(repository, "feature", {"feature.txt": b"one\n"})
    return forge.open_pull(repository, "feature", author="octo")


@pytest.fixture
def repository(pull: PullRequest) -> Repository:
    return pull.repository


@pytest.fixture
async def client(forge: Forge) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=forge.api_url, trust_env=False, follow_redirects=True) as opened:
        yield opened


@pytest.fixture
def github(client: httpx.AsyncClient) -> GitHub:
    caller = Caller(client, write_gap=0)
    return GitHub(caller, Tokens(caller, "", new_app_key()))


def tokens_asked_for(forge: Forge) -> int:
    return len(forge.requests_to("POST", "/access_tokens"))


async def test_one_token_does_until_it_ends(github: GitHub, forge: Forge, repository: Repository) -> None:
    for _ in range(3):
        assert await github.pull(repository.id, 1) is not None
    assert tokens_asked_for(forge) == 1


async def test_a_token_that_ends_early_is_renewed_when_it_is_used(
    github: GitHub, forge: Forge, repository: Repository
) -> None:
    assert await github.pull(repository.id, 1) is not None
    forge.state.end_tokens()
    assert await github.pull(repository.id, 1) is not None
    assert tokens_asked_for(forge) == 2
    forge.state.end_tokens()
    assert await github.put_comment(repository.id, 1, "marker", "marker: said", None) is not None
    assert len(repository.comments) == 1


async def test_a_token_opens_no_other_repository(github: GitHub, forge: Forge, repository: Repository) -> None:
    token = await github.clone_token(repository.id)
    other = forge.create_repository("octo/other", {"a": b"a"})
    async with httpx.AsyncClient(base_url=forge.api_url, trust_env=False) as client:
        answer = await client.get(f"/repositories/{other.id}", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 404


@pytest.mark.parametrize("what", ["uninstall", "suspend", "take_away"])
@pytest.mark.parametrize("asked_before", [False, True])
async def test_what_we_have_no_access_to_any_more_is_gone(
    github: GitHub, forge: Forge, repository: Repository, what: str, asked_before: bool
) -> None:
    if asked_before:
        assert await github.pull(repository.id, 1) is not None
    match what:
        case "uninstall":
            forge.uninstall()
        case "suspend":
            forge.suspend()
        case _:
            forge.take_away(repository)
    assert await github.pull(repository.id, 1) is None
    assert await github.branch(repository.id, "main") is None
    assert await github.open_pulls(repository.id) == []


async def test_a_key_that_github_does_not_know_takes_nothing_away(
    github: GitHub, forge: Forge, repository: Repository
) -> None:
    """It is the operator's mistake: every preview stays as it is."""
    forge.fail_next(status=401, path="/installation")
    with pytest.raises(ForgeUnavailable, match="credentials"):
        await github.pull(repository.id, 1)
    forge.fail_next(status=502, path="/installation")
    with pytest.raises(ForgeUnavailable):
        await github.pull(repository.id, 1)
    assert await github.pull(repository.id, 1) is not None


async def test_every_repository_that_the_app_covers_is_listed(github: GitHub, forge: Forge) -> None:
    made = [forge.create_repository(f"octo/many-{number}", {"a": b"a"}).id for number in range(3)]
    numbers = iter(range(1_000_000, 1_000_250))
    template = forge.state.repositories[made[0]]
    for number in numbers:  # as rows only: three pages of them, without their git sides
        forge.state.repositories[number] = template
    found = await github.repositories()
    assert len(found) == 253
    assert set(found) == set(made)
    assert len(forge.requests_to("GET", "/installation/repositories")) == 3
    forge.take_away(template)
    assert made[0] not in await github.repositories()
    forge.suspend()
    assert await github.repositories() == []


async def test_a_plain_token_cannot_know_its_repositories(forge: Forge, client: httpx.AsyncClient) -> None:
    caller = Caller(client)
    assert await GitHub(caller, Tokens(caller, forge.token, None)).repositories() == []
    assert forge.requests == []


async def test_the_spent_hour_of_one_installation_is_nobody_elses(
    github: GitHub, forge: Forge, repository: Repository, client: httpx.AsyncClient
) -> None:
    assert await github.pull(repository.id, 1) is not None
    forge.exhaust_next(reset_in=600)
    for _ in range(2):
        with pytest.raises(ForgeUnavailable) as caught:
            await github.pull(repository.id, 1)
        assert caught.value.retry_after > 500
    assert len(forge.requests_to("GET", "/pulls/1")) == 2
    assert github.write_delay(final=True) == 0
    forge.state.installation = Installation(id=2)
    other = forge.create_repository("acme/other", {"a": b"a"})
    assert await github.branch(other.id, "main") is not None


async def test_a_repository_that_is_renamed_on_the_way_stays_the_same_one(
    github: GitHub, forge: Forge, pull: PullRequest, tmp_path: Path, client: httpx.AsyncClient
) -> None:
    """Between the look and the fetch: git gives no token to where it is sent on, so the next look has the new name."""
    sources = GitSources(tmp_path)
    before = await github.pull(pull.repository.id, 1)
    assert before is not None
    forge.rename_repository(pull.repository, f"{pull.repository.name}-renamed")
    with pytest.raises(OperatorError, match="another place"):
        await sources.fetch(before, await github.clone_token(pull.repository.id))
    after = await github.pull(pull.repository.id, 1)
    assert after is not None
    assert (after.repository, after.number, after.head_commit) == (before.repository, 1, before.head_commit)
    assert after.repository_name.endswith("-renamed")
    await sources.fetch(after, await github.clone_token(pull.repository.id))
    assert await sources.paths(after.repository, after.head_commit) == ["README.md", "feature.txt"]
    headers = {"Authorization": f"Bearer {forge.token}"}
    sent_on = await client.get(f"/repos/{before.repository_name}/pulls/1", headers=headers)
    assert sent_on.json()["id"] == pull.id, "who asks by the old name is sent on"
