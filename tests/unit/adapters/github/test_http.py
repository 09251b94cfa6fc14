"""The GitHub adapter's questions about branches and history, against the stand-in over real HTTP."""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace

import httpx
import pytest

from orchestrator.adapters.github.app import Tokens
from orchestrator.adapters.github.forge import GitHub
from orchestrator.adapters.github.http import Caller
from orchestrator.ports.forge import Branch
from orchestrator.preview.errors import ForgeUnavailable
from tests.forge import Forge, Repository


@pytest.fixture
def forge() -> Iterator[Forge]:
    with Forge() as running:
        yield running


@pytest.fixture
def repository(forge: Forge) -> Repository:
    return forge.create_repository("octo/app", {"README.md": b"Hello\n"})


@pytest.fixture
async def github(forge: Forge) -> AsyncIterator[GitHub]:
    async with httpx.AsyncClient(base_url=forge.api_url, trust_env=False) as client:
        caller = Caller(client, write_gap=0)
        yield GitHub(caller, Tokens(caller, forge.token, None))


async def test_a_branch_is_told_with_its_commit_and_where_to_clone_it(
    github: GitHub, forge: Forge, repository: Repository
) -> None:
    sha = forge.commit(repository, "release/1.x", {"a.txt": b"a"})
    found = await github.branch(repository.id, "release/1.x")
    assert found == Branch(
        repository_name="octo/app", clone_url=f"{forge.url}/octo/app.git", name="release/1.x", commit=sha
    )


async def test_a_branch_or_repository_that_is_gone_is_none(github: GitHub, repository: Repository) -> None:
    assert await github.branch(repository.id, "gone") is None
    assert await github.branch(repository.id, "../pulls") is None
    assert await github.branch(repository.id + 1000, "main") is None


async def test_a_commit_is_an_ancestor_of_itself_and_of_what_builds_on_it(
    github: GitHub, forge: Forge, repository: Repository
) -> None:
    forge.commit(repository, "feature", {"feature.txt": b"one\n"})
    pull = forge.open_pull(repository, "feature", author="mona")
    base, before = pull.base_sha, pull.head_sha
    pushed = forge.push(pull, {"feature.txt": b"two\n"})
    forced = forge.force_push(pull, {"feature.txt": b"rewritten\n"})
    assert await github.is_ancestor(repository.id, base, pushed)
    assert await github.is_ancestor(repository.id, before, before)
    assert not await github.is_ancestor(repository.id, pushed, before)
    assert not await github.is_ancestor(repository.id, pushed, forced)
    assert not await github.is_ancestor(repository.id, "0" * 40, forced), "a commit that nobody has any more"


@pytest.mark.parametrize(
    ("fail", "words"),
    [
        (lambda forge: forge.fail_next(status=502), "GitHub answers 502"),
        (lambda forge: forge.fail_next(status=401, count=2), "does not accept our credentials"),
        (lambda forge: forge.limit_next(), "asked us to wait until"),
        (lambda forge: forge.limit_next(retry_after=1), "asked us to wait until"),
    ],
)
async def test_what_is_wrong_with_github_is_known_without_asking_until_it_is_well_again(
    fail: Callable[[Forge], None],
    words: str,
    github: GitHub,
    forge: Forge,
    repository: Repository,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await github.fault() == ""
    fail(forge)
    with pytest.raises(ForgeUnavailable):
        await github.branch(repository.id, "main")
    assert words in await github.fault()
    later = SimpleNamespace(monotonic=lambda: time.monotonic() + 1000, time=time.time)
    monkeypatch.setattr("orchestrator.adapters.github.http.time", later)
    assert await github.fault() == "", "a fault that is old is asked about again"
    assert await github.branch(repository.id, "main") is not None
