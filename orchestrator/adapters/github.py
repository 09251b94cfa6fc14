"""GitHub's REST API, as far as previewd needs it.

Repositories are addressed by number, which survives renames and transfers. Rules for limits and retries come from
GitHub's "Best practices for using the REST API" and "Rate limits for the REST API".
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import jwt

from orchestrator.errors import ConfigurationError, ForgeUnavailable, OperatorError
from orchestrator.policy import Pull
from orchestrator.ports import Branch

COMMENT_LENGTH = 65_536
"""Characters of a comment's body: GitHub refuses longer ones."""

_PAGE = 100
_TOKEN_MARGIN_SECONDS = 300.0
_SECONDARY_LIMIT_SECONDS = 60.0
"""How long to wait when GitHub says that we ask too often without saying for how long."""

_GONE = frozenset({404, 410, 451})
_REFUSED_WRITE = frozenset({403, 410, 422})


@dataclass(frozen=True, slots=True, kw_only=True)
class AppKey:
    """A GitHub App: its id and its private key as PEM text."""

    id: str
    private_key: str

    @classmethod
    def read(cls, app_id: str, key: str) -> "AppKey":
        """Take PEM text, or the path of a file that holds it."""
        if "-----BEGIN" in key:
            return cls(id=app_id, private_key=key)
        try:
            return cls(id=app_id, private_key=Path(key).read_text(encoding="ascii"))
        except (OSError, ValueError):
            raise ConfigurationError(
                "PREVIEWD_GITHUB_PRIVATE_KEY is neither a PEM key nor a file that can be read",
                "set it to the App's private key, or to the path of the .pem file that GitHub gave you",
            ) from None


class Credentials:
    """Tokens for a repository: a fixed one, or an App's, renewed before they expire."""

    def __init__(self, client: httpx.AsyncClient, token: str, app: AppKey | None) -> None:
        self._client = client
        self._token = token
        self._app = app
        self._installations: dict[int, tuple[str, float]] = {}

    async def token(self, repository: int) -> str:
        if self._app is None:
            return self._token
        token, expires = self._installations.get(repository, ("", 0.0))
        if time.time() > expires - _TOKEN_MARGIN_SECONDS:
            token, expires = await self._installation_token(self._app, repository)
            self._installations[repository] = (token, expires)
        return token

    async def _installation_token(self, app: AppKey, repository: int) -> tuple[str, float]:
        # Backdated by a minute, as GitHub advises: its clock and ours differ.
        now = int(time.time())
        claims = {"iat": now - 60, "exp": now + 540, "iss": app.id}
        headers = {"Authorization": f"Bearer {jwt.encode(claims, app.private_key, algorithm='RS256')}"}
        found = await _send(self._client, "GET", f"/repositories/{repository}/installation", headers)
        if found.status_code in _GONE:
            raise OperatorError(
                f"the GitHub App is not installed on repository {repository}", "install it there, or close the preview"
            )
        path = f"/app/installations/{_checked(found)['id']}/access_tokens"
        answer = await _send(self._client, "POST", path, headers, {"repository_ids": [repository]})
        return _checked(answer)["token"], time.time() + 3600


class GitHub:
    """Implements `Forge`. Writes go one at a time, `write_gap` seconds apart, as GitHub asks."""

    def __init__(self, client: httpx.AsyncClient, credentials: Credentials, write_gap: float = 1.0) -> None:
        self._client = client
        self._credentials = credentials
        self._writing = asyncio.Lock()
        self._write_gap = write_gap
        self._quiet_until = 0.0

    async def pull(self, repository: int, number: int) -> Pull | None:
        answer = await self._ask("GET", repository, f"/pulls/{number}")
        return None if answer.status_code in _GONE else _pull(_checked(answer))

    async def permission(self, repository: int, user: str) -> str:
        answer = await self._ask("GET", repository, f"/collaborators/{user}/permission")
        if answer.status_code in _GONE:
            return "none"
        # Not `role_name`: a custom role's name says nothing, while this field names the permission that it includes.
        return str(_checked(answer)["permission"])

    async def branch(self, repository: int, name: str) -> Branch | None:
        answer = await self._ask("GET", repository, f"/branches/{quote(name, safe='')}")
        about = await self._ask("GET", repository, "")
        if answer.status_code in _GONE or about.status_code in _GONE:
            return None
        found = _checked(about)
        return Branch(
            repository_name=found["full_name"],
            clone_url=found["clone_url"],
            name=name,
            commit=_checked(answer)["commit"]["sha"],
        )

    async def is_ancestor(self, repository: int, older: str, newer: str) -> bool:
        # One commit a page: the answer lists the commits between the two, and only its head is of interest.
        answer = await self._ask("GET", repository, f"/compare/{older}...{newer}?per_page=1")
        return answer.status_code not in _GONE and _checked(answer)["status"] in {"ahead", "identical"}

    async def open_pulls(self, repository: int) -> list[Pull]:
        answers = await self._pages(repository, "/pulls?state=open")
        return [_pull(answer) for answer in answers]

    async def put_comment(self, repository: int, number: int, marker: str, body: str, known: int | None) -> int | None:
        body = body[:COMMENT_LENGTH]
        comment = known or await self._find_comment(repository, number, marker)
        if comment is not None:
            answer = await self._ask("PATCH", repository, f"/issues/comments/{comment}", {"body": body})
            if answer.is_success:
                return comment
            if answer.status_code not in _GONE | _REFUSED_WRITE:
                _checked(answer)
        # It was deleted, or it is somebody else's who copied our marker: we write our own.
        answer = await self._ask("POST", repository, f"/issues/{number}/comments", {"body": body})
        if answer.is_success:
            return int(answer.json()["id"])
        if answer.status_code not in _REFUSED_WRITE:
            _checked(answer)
        return None  # a locked pull request takes no comments, and that is not a fault

    async def put_status(self, repository: int, commit: str, state: str, description: str, url: str) -> None:
        body = {"state": state, "description": description[:140], "target_url": url, "context": "previewd"}
        answer = await self._ask("POST", repository, f"/statuses/{commit}", body)
        if answer.status_code not in _GONE | _REFUSED_WRITE:
            _checked(answer)

    async def clone_token(self, repository: int) -> str:
        return await self._credentials.token(repository)

    async def _find_comment(self, repository: int, number: int, marker: str) -> int | None:
        # The oldest one: the marker cannot be guessed, so whoever else shows it has copied it from ours.
        comments = await self._pages(repository, f"/issues/{number}/comments")
        ours = (c["id"] for c in comments if marker in (c.get("body") or ""))
        return next((int(comment) for comment in ours), None)

    async def _pages(self, repository: int, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        separator = "&" if "?" in path else "?"
        for page in range(1, 101):
            answer = await self._ask("GET", repository, f"{path}{separator}per_page={_PAGE}&page={page}")
            if answer.status_code in _GONE:
                break
            items = _checked(answer)
            found.extend(items)
            if len(items) < _PAGE:
                break
        return found

    async def _ask(
        self, method: str, repository: int, path: str, body: Mapping[str, object] | None = None
    ) -> httpx.Response:
        self._respect_limits()
        headers = {"Authorization": f"Bearer {await self._credentials.token(repository)}"}
        url = f"/repositories/{repository}{path}"
        if method == "GET":
            return self._noted(await _send(self._client, method, url, headers))
        async with self._writing:
            answer = await _send(self._client, method, url, headers, body)
            await asyncio.sleep(self._write_gap)
        return self._noted(answer)

    def _respect_limits(self) -> None:
        left = self._quiet_until - time.monotonic()
        if left > 0:
            raise ForgeUnavailable("GitHub asked us to wait", retry_after=left)

    def _noted(self, answer: httpx.Response) -> httpx.Response:
        """Stop asking at all while GitHub wants us to: going on may get the App banned."""
        wait = _asked_to_wait(answer)
        if wait is not None:
            self._quiet_until = time.monotonic() + wait
            raise ForgeUnavailable("GitHub asked us to wait", retry_after=wait)
        return answer


async def _send(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: Mapping[str, object] | None = None,
) -> httpx.Response:
    """One request. Raises ForgeUnavailable when there is no answer, or one that says that GitHub is not well."""
    try:
        answer = await client.request(method, url, headers=headers, json=body)
    except httpx.HTTPError as error:
        raise ForgeUnavailable(f"GitHub does not answer: {type(error).__name__}") from error
    if answer.is_server_error:
        raise ForgeUnavailable(f"GitHub answers {answer.status_code}")
    return answer


def open_client(api_url: str) -> httpx.AsyncClient:
    """An HTTP client for GitHub's API at `api_url` (`https://HOST/api/v3` on GitHub Enterprise Server)."""
    return httpx.AsyncClient(
        base_url=api_url,
        timeout=httpx.Timeout(20, connect=5),
        follow_redirects=True,  # renamed and transferred repositories answer with one
        headers={
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
            "User-Agent": "previewd",
        },
    )


def _pull(found: Mapping[str, Any]) -> Pull:
    head, base = found["head"], found["base"]
    author = found.get("user") or {}  # nobody, when the account was deleted
    return Pull(
        repository=base["repo"]["id"],
        repository_name=base["repo"]["full_name"],
        clone_url=base["repo"]["clone_url"],
        number=found["number"],
        open=found["state"] == "open",
        draft=bool(found.get("draft")),
        title=found["title"],
        author=author.get("login", "ghost"),
        author_is_bot=author.get("type") == "Bot",
        head_commit=head["sha"],
        head_branch=head["ref"],
        head_repository=head["repo"]["id"] if head.get("repo") else None,
        base_branch=base["ref"],
    )


def _asked_to_wait(answer: httpx.Response) -> float | None:
    """Seconds for which GitHub wants silence, or None."""
    if answer.status_code not in (403, 429):
        return None
    if "retry-after" in answer.headers:
        return _seconds(answer.headers["retry-after"])
    if answer.headers.get("x-ratelimit-remaining") == "0":
        return max(1.0, float(answer.headers["x-ratelimit-reset"]) - time.time())
    if answer.status_code == httpx.codes.TOO_MANY_REQUESTS or "rate limit" in answer.text.lower():
        return _SECONDARY_LIMIT_SECONDS
    return None


def _seconds(retry_after: str) -> float:
    """`Retry-After` may be seconds or a date (RFC 9110, section 10.2.3)."""
    try:
        return float(retry_after)
    except ValueError:
        return _SECONDARY_LIMIT_SECONDS


def _checked(answer: httpx.Response) -> Any:
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise ConfigurationError(
            "GitHub does not accept our credentials",
            "set PREVIEWD_GITHUB_TOKEN, or PREVIEWD_GITHUB_APP_ID and PREVIEWD_GITHUB_PRIVATE_KEY",
        )
    if not answer.is_success:
        raise OperatorError(
            f"GitHub answers {answer.status_code} to {answer.request.method} {answer.request.url.path}",
            "check what the App or the token may do: pull requests and contents read, issues and statuses write",
        )
    return answer.json()
