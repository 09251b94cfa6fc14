"""Who may see the dashboard: the form that takes the admin token, the cookie for it, and the guard before each page."""

import time
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs

from fastapi import HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from orchestrator.runtime.settings import Settings
from webhooks.dashboard import session
from webhooks.dashboard.rendering import Renderer
from webhooks.throttle import Throttle, peer_of

UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class SignInNeeded(HTTPException):
    """Nobody is signed in: the page is answered with the form that changes that."""

    def __init__(self) -> None:
        super().__init__(HTTPStatus.UNAUTHORIZED, "sign in first")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    settings: Settings
    renderer: Renderer
    attempts: Throttle = field(default_factory=Throttle)

    async def guard(self, request: Request) -> None:
        """Stand before every page: nobody who is not signed in, and nothing that another site's page made us do."""
        cookie = request.cookies.get(session.cookie_name(self.settings), "")
        if not session.holds(self.settings, cookie, time.time()):
            raise SignInNeeded
        self._same_origin(request)

    def form(self, target: str, error: str = "") -> Response:
        """The form that asks for the admin token, and goes on to `target`."""
        configured = bool(self.settings.admin_token.get_secret_value())
        return self.renderer.page(
            "login.html", HTTPStatus.UNAUTHORIZED, target=target, error=error, configured=configured
        )

    async def sign_in(self, request: Request) -> Response:
        """Take the admin token and hand out the cookie."""
        self._same_origin(request)
        form = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=8)
        target = local(form.get("target", ["/"])[0])
        shown = form.get("token", [""])[0].strip()
        peer, now = peer_of(request.client.host if request.client else "", request.headers), time.monotonic()
        if seconds := self.attempts.seconds_to_wait(peer, now):
            return self._refuse_for_now(target, seconds)
        if not session.knows_token(self.settings, shown):
            if shown:
                self.attempts.failed(peer, now)
            return self.form(target, "That is not the admin token.")
        answer = RedirectResponse(target, HTTPStatus.SEE_OTHER)
        answer.set_cookie(
            session.cookie_name(self.settings),
            session.issue(self.settings, time.time()),
            max_age=session.LIFETIME_SECONDS,
            httponly=True,
            samesite="lax",
            secure=session.is_secure(self.settings),
        )
        return answer

    async def sign_out(self) -> Response:
        """Take the cookie back."""
        answer = RedirectResponse("/", HTTPStatus.SEE_OTHER)
        name, secure = session.cookie_name(self.settings), session.is_secure(self.settings)
        answer.delete_cookie(name, httponly=True, samesite="lax", secure=secure)
        return answer

    def _same_origin(self, request: Request) -> None:
        if request.method in UNSAFE and not session.same_origin(request.headers, self.settings.public_url):
            raise HTTPException(HTTPStatus.FORBIDDEN, "this request came from another site")

    def _refuse_for_now(self, target: str, seconds: int) -> Response:
        error = f"Too many wrong tokens were tried. Try again in {seconds} s."
        answer = self.renderer.page(
            "login.html", HTTPStatus.TOO_MANY_REQUESTS, target=target, error=error, configured=True
        )
        answer.headers["Retry-After"] = str(seconds)
        return answer


def local(target: str) -> str:
    """A path of ours: never another site, which `//host` and a backslash would be to a browser."""
    plain = target.startswith("/") and not target.startswith("//") and "\\" not in target and target.isprintable()
    return target if plain else "/"
