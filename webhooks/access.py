"""Who may use what of the web process besides the dashboard's pages: the admin token, and what does without it.

Each public function of `Access` is a dependency of routes.
"""

import hmac
import time
from dataclasses import dataclass, field
from http import HTTPStatus

from fastapi import HTTPException, Request

from orchestrator.runtime.settings import Settings
from webhooks.dashboard.sign_in import SignIn
from webhooks.throttle import REAL_PEER, Throttle, address_of, is_near, peer_of

PEERS_REMEMBERED = 10_000
"""Failed attempts of strangers are no reason to refuse programs that show the token: only each peer has a limit."""

_FORWARDED = (REAL_PEER, "x-forwarded-for", "forwarded")
"""Who sends one of these did not ask us directly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The rules, on what they need."""

    settings: Settings
    sign_in: SignIn
    attempts: Throttle = field(default_factory=lambda: Throttle(PEERS_REMEMBERED))

    async def with_token(self, request: Request) -> None:
        """Whoever shows the admin token."""
        expected = self.settings.admin_token.get_secret_value().encode()
        if not expected:
            raise _unauthorized("PREVIEWD_ADMIN_TOKEN is not set, so nobody may use the API: set it to a random text")
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise _unauthorized(_SEND)
        peer, now = peer_of(_client(request), request.headers), time.monotonic()
        if seconds := self.attempts.seconds_to_wait(peer, now):
            raise HTTPException(
                HTTPStatus.TOO_MANY_REQUESTS, "too many wrong tokens came from you", {"Retry-After": str(seconds)}
            )
        if not hmac.compare_digest(shown.strip().encode("latin-1", "replace"), expected):
            self.attempts.failed(peer, now)
            raise _unauthorized(_SEND)

    async def with_session_or_token(self, request: Request) -> None:
        """People who are signed in to the dashboard, and programs."""
        await (self.with_token if "authorization" in request.headers else self.sign_in.guard)(request)

    async def from_near_or_with_token(self, request: Request) -> None:
        """What watches the machine: it comes from a private network, and neither through Caddy nor from a preview."""
        if not self._is_watcher(request):
            await self.with_token(request)

    def _is_watcher(self, request: Request) -> bool:
        client = _client(request)
        if not is_near(client) or any(name in request.headers for name in _FORWARDED):
            return False
        return address_of(client) not in self.settings.subnet_pool


_SEND = "send `Authorization: Bearer` with the value of PREVIEWD_ADMIN_TOKEN"


def _client(request: Request) -> str:
    return request.client.host if request.client else ""


def _unauthorized(message: str) -> HTTPException:
    return HTTPException(HTTPStatus.UNAUTHORIZED, message, {"WWW-Authenticate": "Bearer"})
