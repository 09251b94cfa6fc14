"""One process' way to GitHub: reads at once, writes one at a time, and nothing at all while GitHub wants silence.

Rules come from GitHub's "Best practices for using the REST API" and "Rate limits for the REST API".
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import structlog

from orchestrator.adapters.fenced_http import FENCED
from orchestrator.adapters.github.rate_limit import RateLimit
from orchestrator.preview.errors import ForgeGone, ForgeUnavailable, OperatorError

GONE = frozenset({404, 410, 451})

PAGE = 100
"""Items that GitHub gives at once, at most."""
MAX_PAGES = 100
"""Of one list. What is longer is cut, and that is logged."""

_SECONDARY_LIMIT_SECONDS = 60.0
"""How long to wait when GitHub says that we ask too often without saying for how long."""

_DOUBT_SECONDS = 30.0
"""A fault that is older than this is asked about again."""

_CREDENTIALS_SECONDS = 30.0
"""How long to wait for somebody to set our credentials right."""

_ASKED_TO_WAIT = "GitHub asked us to wait"
_BAD_CREDENTIALS = (
    "GitHub does not accept our credentials: set PREVIEWD_GITHUB_TOKEN, or PREVIEWD_GITHUB_APP_ID and "
    "PREVIEWD_GITHUB_PRIVATE_KEY"
)

_EVERYBODY = ""
"""The scope of a limit that is not one token's."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A token, and whose hourly limit its requests count for: each installation of an App has one of its own."""

    token: str = field(repr=False)
    scope: str


class Caller:
    """Sends requests. Every method raises ForgeUnavailable when there is no answer or GitHub asked us to wait."""

    def __init__(self, client: httpx.AsyncClient, write_gap: float = 1.0) -> None:
        """Between two writes there are `write_gap` seconds."""
        self._client = client
        self._write_gap = write_gap
        self._writing = asyncio.Lock()
        self._next_write = 0.0
        self._pace = RateLimit()
        self._quiet_until: dict[str, float] = {}
        self._heard_at = 0.0
        self.fault = ""
        """What the last answer, or its absence, says is wrong with GitHub as a whole; nothing while it is well."""

    @property
    def is_doubtful(self) -> bool:
        """Whether the fault is so old that it may have passed, and nobody asked since."""
        doubt_from = max(self._quiet_until.get(_EVERYBODY, 0.0), self._heard_at + _DOUBT_SECONDS)
        return bool(self.fault) and time.monotonic() > doubt_from

    async def ask(
        self, method: str, url: str, access: Access, body: Mapping[str, object] | None = None
    ) -> httpx.Response:
        """Send what changes nothing that people see: any GET, and the request for a token."""
        self._keep_quiet(access)
        return self._noted(await self._send(method, url, access, body), access)

    async def write(self, method: str, url: str, access: Access, body: Mapping[str, object]) -> httpx.Response:
        """Send what makes or changes something, when it is its turn."""
        async with self._writing:
            await asyncio.sleep(self._next_write - time.monotonic())
            self._keep_quiet(access)  # GitHub may have asked for silence since we stood in line
            self._keep_pace()
            try:
                return self._noted(await self._send(method, url, access, body), access)
            finally:
                self._next_write = time.monotonic() + self._write_gap

    async def pages(self, url: str, ask: Callable[[str], Awaitable[httpx.Response]]) -> AsyncIterator[httpx.Response]:
        """Each page of the list at `url`, as `ask` brings it; which one is the next, GitHub says with each."""
        following: str | None = str(httpx.URL(url).copy_merge_params({"per_page": PAGE}))
        for _ in range(MAX_PAGES):
            if following is None:
                return
            answer = await ask(following)
            yield answer
            following = self._next(answer)
        if following is not None:
            _log.warning("a list of GitHub's is cut", list=url, pages=MAX_PAGES)

    def _next(self, answer: httpx.Response) -> str | None:
        """Whoever is asked is shown our token: nobody is but the API that we were told of."""
        named = answer.links.get("next", {}).get("url")
        if named is None:
            return None
        following, ours = answer.url.join(named), self._client.base_url
        if _origin(following) != _origin(ours):
            _log.warning("a list of GitHub's is cut: it goes on elsewhere", next=str(following), api=str(ours))
            return None
        return str(following)

    def write_delay(self, *, final: bool) -> float:
        """Seconds until a write may be sent, as far as is known; 0 when one may go now."""
        now = time.monotonic()
        return max(0.0, self._quiet_until.get(_EVERYBODY, 0.0) - now, self._pace.delay(now, final=final))

    def _keep_pace(self) -> None:
        now = time.monotonic()
        delay = self._pace.delay(now, final=True)
        if delay > 0:
            raise ForgeUnavailable("GitHub was written to as often as it allows", retry_after=delay)
        self._pace.note(now)

    def _keep_quiet(self, access: Access) -> None:
        left = max(self._quiet_until.get(scope, 0.0) for scope in (_EVERYBODY, access.scope)) - time.monotonic()
        if left > 0:
            raise ForgeUnavailable(_ASKED_TO_WAIT, retry_after=left)

    def _noted(self, answer: httpx.Response, access: Access) -> httpx.Response:
        """Stop asking while GitHub wants us to: going on may get the App banned."""
        used_up = _hour_is_used_up(answer)
        wait = used_up if used_up is not None else _asked_to_wait(answer)
        if wait is None:
            return answer
        scope = access.scope if used_up is not None else _EVERYBODY
        self._quiet_until[scope] = max(self._quiet_until.get(scope, 0.0), time.monotonic() + wait)
        self.fault = f"{_ASKED_TO_WAIT} until {datetime.now(UTC) + timedelta(seconds=wait):%H:%M:%S} UTC"
        raise ForgeUnavailable(_ASKED_TO_WAIT, retry_after=wait)

    async def _send(self, method: str, url: str, access: Access, body: Mapping[str, object] | None) -> httpx.Response:
        try:
            answer = await self._request(method, url, access, body)
        except ForgeUnavailable as error:
            self.fault = error.message
            raise
        finally:
            self._heard_at = time.monotonic()
        self.fault = _BAD_CREDENTIALS if answer.status_code == httpx.codes.UNAUTHORIZED else ""
        return answer

    async def _request(
        self, method: str, url: str, access: Access, body: Mapping[str, object] | None
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {access.token}"} if access.token else {}
        try:
            answer = await self._client.request(method, url, headers=headers, json=body, extensions=FENCED)
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


def checked(answer: httpx.Response) -> Any:
    """What a successful answer says. Raises ForgeUnavailable, ForgeGone or OperatorError for any other."""
    if answer.is_success:
        return answer.json()
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        # No commit's fault, and nothing that a try less would mend: everything waits until somebody sets them right.
        raise ForgeUnavailable(_BAD_CREDENTIALS, retry_after=_CREDENTIALS_SECONDS)
    kind = ForgeGone if answer.status_code in GONE else OperatorError
    raise kind(
        f"GitHub answers {answer.status_code} to {answer.request.method} {answer.request.url.path}",
        "check what the App or the token may do: pull requests and contents read, issues, commit statuses and "
        "deployments write",
    )


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _hour_is_used_up(answer: httpx.Response) -> float | None:
    """Seconds until a token whose hourly requests are spent may ask again, or None."""
    if answer.status_code not in (403, 429) or answer.headers.get("x-ratelimit-remaining") != "0":
        return None
    if "retry-after" in answer.headers or "secondary rate limit" in answer.text.lower():
        return None
    return max(1.0, float(answer.headers.get("x-ratelimit-reset", 0)) - time.time())


def _asked_to_wait(answer: httpx.Response) -> float | None:
    """Seconds for which GitHub wants silence of all of us, or None."""
    if answer.status_code not in (403, 429):
        return None
    if "retry-after" in answer.headers:
        return _seconds(answer.headers["retry-after"])
    if answer.status_code == httpx.codes.TOO_MANY_REQUESTS or "rate limit" in answer.text.lower():
        return _SECONDARY_LIMIT_SECONDS
    return None


def _seconds(retry_after: str) -> float:
    """`Retry-After` may be seconds or a date (RFC 9110, section 10.2.3)."""
    try:
        return float(retry_after)
    except ValueError:
        return _SECONDARY_LIMIT_SECONDS
