"""GitHub's REST API, as far as previewd needs it.

Repositories are addressed by number, which survives renames and transfers. `http` keeps GitHub's limits, `app` has the
tokens.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import httpx
import structlog

from orchestrator.adapters.github.app import AppKey, Tokens, is_suspended
from orchestrator.adapters.github.http import GONE, Access, Caller, checked
from orchestrator.ports.forge import Branch, ForgeDeployment
from orchestrator.preview.errors import ForgeGone, OperatorError, PreviewdError
from orchestrator.preview.trust import Pull
from orchestrator.runtime.settings import Settings

COMMENT_LENGTH = 65_536
"""Characters of a comment's body: GitHub refuses longer ones."""

_DESCRIPTION_LENGTH = 140
_TASK = "deploy:preview"
"""What our deployments do, in GitHub's terms: a workflow that waits for the usual `deploy` does not take them up."""

_REMEMBER_SECONDS = 600.0
"""For so long a refused kind of write is not tried again: by then somebody may have granted the permission."""

_UNPROCESSABLE = httpx.codes.UNPROCESSABLE_ENTITY

_log = structlog.get_logger()


def sign_in(client: httpx.AsyncClient, settings: Settings) -> "GitHub":
    """GitHub, as the App or with the token that the settings name. Raises ConfigurationError for a key that is none."""
    key = settings.github_private_key.get_secret_value()
    app = AppKey.read(settings.github_app_id, key) if settings.github_app_id else None
    caller = Caller(client)
    return GitHub(caller, Tokens(caller, settings.github_token.get_secret_value(), app))


class GitHub:
    """Implements `Forge`."""

    def __init__(self, caller: Caller, tokens: Tokens) -> None:
        self._caller = caller
        self._tokens = tokens
        self._refused: dict[tuple[int, str], float] = {}
        """Which kinds of writes a repository refuses us, and until when we take its word for it."""
        self._asked_about = 0

    async def fault(self) -> str:
        """See `Forge.fault`. A fault that nobody has seen for a while is looked at: nobody else may ask for long."""
        if self._caller.is_doubtful:
            with suppress(PreviewdError):
                access = await self._tokens.access(self._asked_about)
                await self._caller.ask("GET", "/rate_limit", access)  # the one call that counts against no limit
        return self._caller.fault

    async def pull(self, repository: int, number: int) -> Pull | None:
        answer = await self._ask("GET", repository, f"/pulls/{number}")
        return None if answer.status_code in GONE else _pull(checked(answer))

    async def permission(self, repository: int, user: str) -> str:
        answer = await self._ask("GET", repository, f"/collaborators/{user}/permission")
        if answer.status_code in GONE:
            return "none"
        # Not `role_name`: a custom role's name says nothing, while this field names the permission that it includes.
        return str(checked(answer)["permission"])

    async def branch(self, repository: int, name: str) -> Branch | None:
        answer = await self._ask("GET", repository, f"/branches/{quote(name, safe='')}")
        about = await self._ask("GET", repository, "")
        if answer.status_code in GONE or about.status_code in GONE:
            return None
        found = checked(about)
        return Branch(
            repository_name=found["full_name"],
            clone_url=found["clone_url"],
            name=name,
            commit=checked(answer)["commit"]["sha"],
        )

    async def is_ancestor(self, repository: int, older: str, newer: str) -> bool:
        # One commit a page: the answer lists the commits between the two, and only its head is of interest.
        answer = await self._ask("GET", repository, f"/compare/{older}...{newer}?per_page=1")
        return answer.status_code not in GONE and checked(answer)["status"] in {"ahead", "identical"}

    async def open_pulls(self, repository: int) -> list[Pull]:
        answers = await self._pages(repository, "/pulls?state=open")
        return [_pull(answer) for answer in answers]

    async def repositories(self) -> list[int]:
        found: list[int] = []
        for access in await self._tokens.installations():
            with suppress(ForgeGone):  # uninstalled between the two questions
                found.extend(await self._covered_by(access))
        return found

    def write_delay(self, *, final: bool) -> float:
        return self._caller.write_delay(final=final)

    async def put_comment(self, repository: int, number: int, marker: str, body: str, known: int | None) -> int | None:
        body = body[:COMMENT_LENGTH]
        if known is not None and await self._edit(repository, known, body):
            return known
        found = await self._find_comment(repository, number, marker)
        if found not in (None, known) and await self._edit(repository, found, body):
            return found
        # There is none, it was deleted, or it is somebody else's who copied our marker: we write our own.
        answer = await self._write("comments", "POST", repository, f"/issues/{number}/comments", {"body": body})
        if _is_locked(answer):
            return None
        return int(self._allowed("comments", repository, answer)["id"])

    async def put_status(self, repository: int, commit: str, state: str, description: str, url: str) -> None:
        body = {
            "state": state,
            "description": description[:_DESCRIPTION_LENGTH],
            "target_url": url,
            "context": "previewd",
        }
        answer = await self._write("statuses", "POST", repository, f"/statuses/{commit}", body)
        if answer.status_code != _UNPROCESSABLE:  # the commit is gone, or has a thousand statuses
            self._allowed("statuses", repository, answer)

    async def put_deployment(self, repository: int, deployment: ForgeDeployment, known: int | None) -> int | None:
        if self._is_refused("deployments", repository):
            return None
        try:
            if known is not None and await self._say(repository, known, deployment):
                return known
            found = await self._find_deployment(repository, deployment)
            if found is None and deployment.state != "inactive":
                found = await self._create_deployment(repository, deployment)
            if found is not None:
                await self._say(repository, found, deployment)
        except OperatorError as error:
            _log.warning("the forge takes no deployments of us", repository=repository, reason=error.message)
            self._refuse("deployments", repository)
            return None
        return found

    async def clone_token(self, repository: int) -> str:
        return (await self._tokens.access(repository)).token

    async def _edit(self, repository: int, comment: int | None, body: str) -> bool:
        """Let a comment say this; False when it is gone, or is not ours to edit."""
        answer = await self._write("comments", "PATCH", repository, f"/issues/comments/{comment}", {"body": body})
        if answer.status_code not in GONE | {httpx.codes.FORBIDDEN}:
            checked(answer)
        return answer.is_success

    async def _find_comment(self, repository: int, number: int, marker: str) -> int | None:
        # The oldest one: the marker cannot be guessed, so whoever else shows it has copied it from ours.
        comments = await self._pages(repository, f"/issues/{number}/comments")
        ours = (c["id"] for c in comments if marker in (c.get("body") or ""))
        return next((int(comment) for comment in ours), None)

    async def _find_deployment(self, repository: int, deployment: ForgeDeployment) -> int | None:
        """The one that we made of this commit, and were killed before we could note it."""
        environment = quote(deployment.environment, safe="")
        path = f"/deployments?sha={deployment.commit}&task={quote(_TASK)}&environment={environment}"
        found = await self._pages(repository, path)
        ours = (int(each["id"]) for each in found if deployment.marker in str(each.get("payload")))
        return next(ours, None)

    async def _create_deployment(self, repository: int, deployment: ForgeDeployment) -> int | None:
        body = {
            "ref": deployment.commit,
            "task": _TASK,
            "auto_merge": False,
            "required_contexts": [],  # a preview is there before the checks are through
            "payload": {"previewd": deployment.marker},
            "environment": deployment.environment,
            "transient_environment": True,
            "production_environment": False,
        }
        answer = await self._write("deployments", "POST", repository, "/deployments", body)
        if answer.status_code == _UNPROCESSABLE:
            return None  # the commit is gone
        return int(checked(answer)["id"])

    async def _say(self, repository: int, known: int, deployment: ForgeDeployment) -> bool:
        """Add a status to a deployment; False when somebody deleted it."""
        body = {
            "state": deployment.state,
            "description": deployment.description[:_DESCRIPTION_LENGTH],
            "environment_url": deployment.url,
            "log_url": deployment.log_url,
            "auto_inactive": False,  # what served before is said to be inactive by itself, once it is
        }
        answer = await self._write("deployments", "POST", repository, f"/deployments/{known}/statuses", body)
        if answer.status_code not in GONE:
            checked(answer)
        return answer.is_success

    async def _covered_by(self, access: Access) -> list[int]:
        pages = self._caller.pages("/installation/repositories", lambda url: self._caller.ask("GET", url, access))
        return [int(each["id"]) async for page in pages for each in checked(page)["repositories"]]

    async def _pages(self, repository: int, path: str) -> list[dict[str, Any]]:
        """All of a list; what is gone meanwhile has no more items."""
        pages = self._caller.pages(_url(repository, path), lambda url: self._ask_at("GET", repository, url))
        return [each async for page in pages if page.status_code not in GONE for each in checked(page)]

    async def _write(
        self, kind: str, method: str, repository: int, path: str, body: Mapping[str, object]
    ) -> httpx.Response:
        """Change something of this kind. Raises OperatorError when the repository lately refused us such changes."""
        if self._is_refused(kind, repository):
            raise OperatorError(
                f"GitHub does not let us write {kind} in repository {repository}",
                "give the App or the token write access to issues, commit statuses and deployments",
            )
        return await self._ask(method, repository, path, body)

    def _allowed(self, kind: str, repository: int, answer: httpx.Response) -> Any:
        """What the answer says; a refusal is remembered."""
        if answer.status_code == httpx.codes.FORBIDDEN:
            self._refuse(kind, repository)
        return checked(answer)

    def _refuse(self, kind: str, repository: int) -> None:
        self._refused[repository, kind] = time.monotonic() + _REMEMBER_SECONDS

    def _is_refused(self, kind: str, repository: int) -> bool:
        return time.monotonic() < self._refused.get((repository, kind), 0.0)

    async def _ask(
        self, method: str, repository: int, path: str, body: Mapping[str, object] | None = None
    ) -> httpx.Response:
        return await self._ask_at(method, repository, _url(repository, path), body)

    async def _ask_at(
        self, method: str, repository: int, url: str, body: Mapping[str, object] | None = None
    ) -> httpx.Response:
        self._asked_about = repository
        answer = await self._ask_once(method, repository, url, body)
        if answer.status_code == httpx.codes.UNAUTHORIZED and self._tokens.forget(repository):
            return await self._ask_once(method, repository, url, body)  # the token ended before its time
        return answer

    async def _ask_once(
        self, method: str, repository: int, url: str, body: Mapping[str, object] | None
    ) -> httpx.Response:
        """Ask. What we have no access to is answered as GitHub answers it to others: with 404."""
        try:
            access = await self._tokens.access(repository)
        except ForgeGone:
            return _nothing(method, url)
        if body is None:
            answer = await self._caller.ask(method, url, access)
        else:
            answer = await self._caller.write(method, url, access, body)
        return _nothing(method, url) if is_suspended(answer) else answer


def _url(repository: int, path: str) -> str:
    return f"/repositories/{repository}{path}"


def _nothing(method: str, url: str) -> httpx.Response:
    return httpx.Response(httpx.codes.NOT_FOUND, request=httpx.Request(method, url))


def _is_locked(answer: httpx.Response) -> bool:
    """Whether the conversation was locked: it takes no comments, and that is not a fault."""
    return answer.status_code == httpx.codes.FORBIDDEN and "is locked" in answer.text.lower()


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
