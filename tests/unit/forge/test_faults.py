"""Planned faults, and the record of what was asked."""

import httpx
import pytest

from tests.forge import Forge, PullRequest, Repository

PATH = "/repos/octo/app"


async def test_so_many_requests_fail_and_then_none(
    api: httpx.AsyncClient, forge: Forge, repository: Repository
) -> None:
    forge.fail_next(status=502, count=2)
    assert [(await api.get(PATH)).status_code for _ in range(3)] == [502, 502, 200]


async def test_a_fault_waits_for_the_request_that_it_fits(
    api: httpx.AsyncClient, forge: Forge, pull: PullRequest
) -> None:
    forge.fail_next(status=500, method="POST", path="/comments")
    assert (await api.get(f"{PATH}/issues/1/comments")).status_code == 200
    assert (await api.post(f"{PATH}/deployments", json={"ref": "main"})).status_code == 201
    assert (await api.post(f"{PATH}/issues/1/comments", json={"body": "x"})).status_code == 500
    assert (await api.get(f"{PATH}/issues/1/comments")).json() == []


@pytest.mark.parametrize("retry_after", [None, 7])
async def test_the_secondary_limit_says_how_long_or_not(
    api: httpx.AsyncClient, forge: Forge, repository: Repository, retry_after: int | None
) -> None:
    forge.limit_next(retry_after=retry_after)
    answer = await api.get(PATH)
    assert answer.status_code == 403
    assert "secondary rate limit" in answer.json()["message"]
    assert answer.headers.get("retry-after") == (None if retry_after is None else str(retry_after))


async def test_the_primary_limit_says_when_it_ends(
    api: httpx.AsyncClient, forge: Forge, repository: Repository
) -> None:
    forge.exhaust_next(reset_in=60)
    answer = await api.get(PATH)
    assert (answer.status_code, answer.headers["x-ratelimit-remaining"]) == (403, "0")


async def test_a_late_answer_is_an_answer(api: httpx.AsyncClient, forge: Forge, repository: Repository) -> None:
    forge.delay_next(seconds=5)
    with pytest.raises(httpx.ReadTimeout):
        await api.get(PATH, timeout=0.1)
    forge.delay_next(seconds=0.01)
    assert (await api.get(PATH)).status_code == 200


async def test_healing_forgets_what_was_planned(api: httpx.AsyncClient, forge: Forge, repository: Repository) -> None:
    forge.fail_next(status=502, count=100)
    forge.heal()
    assert (await api.get(PATH)).status_code == 200


async def test_requests_are_recorded_the_failed_ones_too(
    api: httpx.AsyncClient, forge: Forge, pull: PullRequest
) -> None:
    forge.fail_next(status=502)
    for _ in range(2):
        await api.post(f"{PATH}/issues/1/comments?a=b", json={"body": "x"})
    recorded = forge.requests_to("POST", "/issues/1/comments")
    assert [request.json() for request in recorded] == [{"body": "x"}] * 2
    assert recorded[0].query == {"a": "b"}
    assert recorded[0].headers["authorization"] == f"Bearer {forge.token}"
