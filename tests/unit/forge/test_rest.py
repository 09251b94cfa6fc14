"""The REST API over real HTTP."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest

from tests.forge import Forge, PullRequest, Repository


def app_token(**claims: Any) -> str:
    now = int(time.time())
    all_claims = {"iss": "1", "iat": now - 60, "exp": now + 540, **claims}
    return jwt.encode({name: value for name, value in all_claims.items() if value is not None}, "k" * 32)


@pytest.mark.parametrize("token", ["", "Bearer wrong", "Basic abc"])
async def test_without_a_good_token_nothing_is_told(forge: Forge, repository: Repository, token: str) -> None:
    headers = {"Authorization": token} if token else {}
    async with httpx.AsyncClient(base_url=forge.api_url, headers=headers, trust_env=False) as client:
        for path in ("/repos/octo/app", "/repos/octo/missing", "/rate_limit"):
            assert (await client.get(path)).status_code == 401


async def test_a_repository_answers_under_its_name_and_its_number(
    api: httpx.AsyncClient, repository: Repository
) -> None:
    by_name = await api.get("/repos/Octo/App")
    by_number = await api.get(f"/repositories/{repository.id}")
    assert by_name.json() == by_number.json()
    assert by_name.json()["full_name"] == "octo/app"


@pytest.mark.parametrize(
    "path",
    [
        "/repos/octo/missing",
        "/repositories/7",
        "/repositories/x",
        "/repos/octo/app/pulls/99",
        "/repos/octo/app/pulls/x",
        "/repos/octo/app/issues/99/comments",
        "/repos/octo/app/collaborators/nobody/permission",
        "/repos/octo/app/deployments/99",
        "/elsewhere",
    ],
)
async def test_what_does_not_exist_is_404_in_githubs_form(
    api: httpx.AsyncClient, repository: Repository, path: str
) -> None:
    answer = await api.get(path)
    assert answer.status_code == 404
    assert answer.json()["status"] == "404"
    assert answer.json()["message"]


async def test_a_pull_request_tells_its_head_and_state(api: httpx.AsyncClient, forge: Forge, pull: PullRequest) -> None:
    forge.convert_to_draft(pull)
    forge.close(pull)
    told = (await api.get("/repos/octo/app/pulls/1")).json()
    assert (told["state"], told["draft"], told["merged"]) == ("closed", True, False)
    assert told["head"]["sha"] == pull.head_sha
    assert told["head"]["repo"]["id"] == told["base"]["repo"]["id"] == pull.repository.id
    assert told["base"]["repo"]["clone_url"] == f"{forge.url}/octo/app.git"


async def test_a_deleted_fork_leaves_a_head_without_repository(
    api: httpx.AsyncClient, forge: Forge, repository: Repository
) -> None:
    fork = forge.create_fork(repository, "mallory")
    forge.commit(fork, "change", {"a": b"a"})
    forge.open_pull(repository, "change", author="mallory", head_repository=fork)
    assert (await api.get("/repos/octo/app/pulls/1")).json()["head"]["repo"]["id"] == fork.id
    forge.delete_repository(fork)
    assert (await api.get("/repos/octo/app/pulls/1")).json()["head"]["repo"] is None


async def test_a_merge_moves_the_base_branch(api: httpx.AsyncClient, forge: Forge, pull: PullRequest) -> None:
    forge.close(pull, merged=True)
    assert (await api.get("/repos/octo/app/pulls/1")).json()["merged"] is True
    assert forge.tip(pull.repository, "main") == pull.head_sha


async def test_pull_requests_are_filtered_and_paged(
    api: httpx.AsyncClient, forge: Forge, repository: Repository
) -> None:
    for number in range(1, 6):
        forge.commit(repository, f"branch-{number}", {"a": b"a"})
        pull = forge.open_pull(repository, f"branch-{number}", author="mona")
        if number == 3:
            forge.close(pull)
    seen, path = [], f"/repositories/{repository.id}/pulls?per_page=2"
    while path:
        answer = await api.get(path)
        seen.append([pull["number"] for pull in answer.json()])
        path = answer.links.get("next", {}).get("url", "")
    assert seen == [[5, 4], [2, 1]]
    closed = await api.get("/repos/octo/app/pulls", params={"state": "closed"})
    assert [pull["number"] for pull in closed.json()] == [3]
    of_branch = await api.get("/repos/octo/app/pulls", params={"state": "all", "head": "octo:branch-4"})
    assert [pull["number"] for pull in of_branch.json()] == [4]
    assert (await api.get("/repos/octo/app/pulls", params={"state": "other"})).status_code == 422


async def test_permissions_are_told_in_the_old_words(
    api: httpx.AsyncClient, forge: Forge, repository: Repository
) -> None:
    forge.set_permission(repository, "mona", "maintain")
    forge.state.user("stranger")
    forge.state.user("robot[bot]")
    told = {
        login: (await api.get(f"/repositories/{repository.id}/collaborators/{login}/permission"))
        for login in ("octo", "mona", "stranger", "robot[bot]")
    }
    assert told["octo"].json()["permission"] == "admin"
    assert (told["mona"].json()["permission"], told["mona"].json()["role_name"]) == ("write", "maintain")
    assert told["stranger"].json()["permission"] == "read"
    assert told["robot[bot]"].status_code == 404


async def test_a_stranger_may_nothing_in_a_private_repository(api: httpx.AsyncClient, forge: Forge) -> None:
    forge.create_repository("octo/secret", {"a": b"a"}, private=True)
    forge.state.user("stranger")
    told = await api.get("/repos/octo/secret/collaborators/stranger/permission")
    assert told.json()["permission"] == "none"


async def test_a_comment_is_written_edited_and_deleted(api: httpx.AsyncClient, pull: PullRequest) -> None:
    comments, one = "/repos/octo/app/issues/1/comments", "/repos/octo/app/issues/comments"
    created = await api.post(comments, json={"body": "first"})
    assert created.status_code == 201
    assert created.json()["user"] | {"login": "previewd[bot]", "type": "Bot"} == created.json()["user"]
    number = created.json()["id"]
    assert (await api.patch(f"{one}/{number}", json={"body": "second"})).json()["body"] == "second"
    assert [comment["body"] for comment in (await api.get(comments)).json()] == ["second"]
    assert (await api.delete(f"{one}/{number}")).status_code == 204
    assert (await api.patch(f"{one}/{number}", json={"body": "third"})).status_code == 404
    assert (await api.get(comments)).json() == []


@pytest.mark.parametrize("body", ["", " ", "x" * 65537])
async def test_a_comment_that_github_would_not_take_is_refused(
    api: httpx.AsyncClient, pull: PullRequest, body: str
) -> None:
    assert (await api.post("/repos/octo/app/issues/1/comments", json={"body": body})).status_code == 422


async def test_statuses_are_listed_newest_first(api: httpx.AsyncClient, pull: PullRequest) -> None:
    path = f"/repos/octo/app/statuses/{pull.head_sha}"
    for state in ("pending", "success"):
        answer = await api.post(path, json={"state": state, "context": "previewd", "description": "d"})
        assert answer.status_code == 201
    listed = await api.get(f"/repositories/{pull.repository.id}/commits/{pull.head_sha}/statuses")
    assert [status["state"] for status in listed.json()] == ["success", "pending"]


@pytest.mark.parametrize(
    ("sha", "change"),
    [
        ("0" * 40, {}),
        ("main", {}),
        ("", {"state": "ready"}),
        ("", {"description": "x" * 141}),
    ],
)
async def test_a_status_that_github_would_not_take_is_refused(
    api: httpx.AsyncClient, pull: PullRequest, sha: str, change: dict[str, str]
) -> None:
    answer = await api.post(f"/repos/octo/app/statuses/{sha or pull.head_sha}", json={"state": "success", **change})
    assert answer.status_code == 422


async def test_a_deployment_replaces_the_one_before(api: httpx.AsyncClient, pull: PullRequest) -> None:
    deployments = "/repos/octo/app/deployments"
    numbers = []
    for _ in range(2):
        created = await api.post(deployments, json={"ref": pull.head_sha, "environment": "preview-1"})
        assert (created.status_code, created.json()["sha"]) == (201, pull.head_sha)
        numbers.append(created.json()["id"])
        new = {"state": "success", "environment_url": "https://pr-1.example.com"}
        assert (await api.post(f"{deployments}/{numbers[-1]}/statuses", json=new)).status_code == 201
    older, newer = numbers
    listed = await api.get(deployments, params={"environment": "preview-1"})
    assert [deployment["id"] for deployment in listed.json()] == [newer, older]
    states = (await api.get(f"{deployments}/{older}/statuses")).json()
    assert [status["state"] for status in states] == ["inactive", "success"]
    assert (await api.delete(f"{deployments}/{newer}")).status_code == 422
    assert (await api.delete(f"{deployments}/{older}")).status_code == 204
    assert (await api.delete(f"{deployments}/{newer}")).status_code == 204


async def test_a_deployment_of_nothing_is_refused(api: httpx.AsyncClient, repository: Repository) -> None:
    assert (await api.post("/repos/octo/app/deployments", json={"ref": "missing"})).status_code == 422


async def test_an_app_gets_a_token_for_its_installation(forge: Forge, repository: Repository) -> None:
    async with httpx.AsyncClient(base_url=forge.api_url, trust_env=False) as client:
        app = {"Authorization": f"Bearer {app_token()}"}
        installation = (await client.get(f"/repositories/{repository.id}/installation", headers=app)).json()["id"]
        answer = await client.post(f"/app/installations/{installation}/access_tokens", headers=app)
        assert answer.status_code == 201
        installed = {"Authorization": f"token {answer.json()['token']}"}
        assert (await client.get("/repos/octo/app", headers=installed)).status_code == 200
        assert (await client.post("/app/installations/99/access_tokens", headers=app)).status_code == 404


@pytest.mark.parametrize("claims", [{"exp": 1}, {"exp": int(time.time()) + 86400}, {"iss": None}])
async def test_a_bad_app_token_is_refused(forge: Forge, claims: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {app_token(**claims)}"}
    async with httpx.AsyncClient(base_url=forge.api_url, headers=headers, trust_env=False) as client:
        assert (await client.post("/app/installations/1/access_tokens")).status_code == 401


async def test_a_token_ends(forge: Forge, repository: Repository) -> None:
    token = forge.state.issue_token("previewd[bot]", datetime.now(UTC) - timedelta(seconds=1))
    async with httpx.AsyncClient(base_url=forge.api_url, trust_env=False) as client:
        answer = await client.get("/repos/octo/app", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401


async def test_the_rate_limit_is_told(api: httpx.AsyncClient) -> None:
    assert (await api.get("/rate_limit")).json()["resources"]["core"]["remaining"] > 0


async def test_a_branch_whose_name_has_slashes_names_its_newest_commit(
    api: httpx.AsyncClient, forge: Forge, repository: Repository
) -> None:
    sha = forge.commit(repository, "release/1.x", {"a.txt": b"a"})
    for written in ("release/1.x", "release%2F1.x"):
        answer = (await api.get(f"/repos/octo/app/branches/{written}")).json()
        assert (answer["name"], answer["commit"]["sha"]) == ("release/1.x", sha)
    assert (await api.get("/repos/octo/app/branches/nowhere")).status_code == 404


async def test_two_commits_are_compared_as_ahead_behind_diverged_or_identical(
    api: httpx.AsyncClient, forge: Forge, pull: PullRequest
) -> None:
    base, first = pull.base_sha, pull.head_sha
    second = forge.force_push(pull, {"feature.txt": b"rewritten\n"})
    pairs = {(base, first): "ahead", (first, base): "behind", (first, second): "diverged", (first, first): "identical"}
    for (older, newer), expected in pairs.items():
        answer = await api.get(f"/repos/octo/app/compare/{older}...{newer}")
        assert answer.json()["status"] == expected
    assert (await api.get(f"/repos/octo/app/compare/{'0' * 40}...{first}")).status_code == 404
