"""A forge with one repository, and clients for it."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from tests.forge import Forge, PullRequest, Repository


@pytest.fixture
def forge() -> Iterator[Forge]:
    with Forge() as running:
        yield running


@pytest.fixture
def repository(forge: Forge) -> Repository:
    return forge.create_repository("octo/app", {"README.md": b"Hello\n", "bin/run.sh": b"#!/bin/sh\n"})


@pytest.fixture
def pull(forge: Forge, repository: Repository) -> PullRequest:
    forge.commit(repository, "feature", {"feature.txt": b"one\n"})
    return forge.open_pull(repository, "feature", author="mona")


@pytest.fixture
async def api(forge: Forge) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {forge.token}"}
    async with httpx.AsyncClient(base_url=forge.api_url, headers=headers, trust_env=False) as client:
        yield client
