"""Who we are on GitHub: a fixed token, or an App with one token for each repository that it is installed on."""

import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from orchestrator.adapters.github.http import GONE, Access, Caller, checked
from orchestrator.preview.errors import ConfigurationError, ForgeGone

_LIFETIME_SECONDS = 3600.0
"""Of an installation's token, as GitHub documents it. One that ends earlier is answered with 401, and renewed then."""
_MARGIN_SECONDS = 300.0


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

    def access(self) -> Access:
        """The right to ask as the App itself. Backdated by a minute, as GitHub advises: its clock and ours differ."""
        import jwt  # noqa: PLC0415 - whoever signs in with a token spares 3 MiB

        now = int(time.time())
        claims = {"iat": now - 60, "exp": now + 540, "iss": self.id}
        return Access(token=jwt.encode(claims, self.private_key, algorithm="RS256"), scope="app")


class Tokens:
    """For each repository the one that opens it: a fixed one, or an App's, renewed before it ends."""

    def __init__(self, caller: Caller, token: str, app: AppKey | None) -> None:
        self._caller = caller
        self._token = token
        self._app = app
        self._known: dict[int, tuple[Access, float]] = {}
        """By repository, with the time (monotonic, in seconds) until which it is good."""

    async def access(self, repository: int) -> Access:
        """The right to act in one repository. Raises ForgeGone when the App is not installed there, or suspended."""
        if self._app is None:
            return Access(token=self._token, scope="token")
        access, until = self._known.get(repository, (None, 0.0))
        if access is None or time.monotonic() > until:
            access = await self._repository_access(self._app, repository)
            self._known[repository] = (access, time.monotonic() + _LIFETIME_SECONDS - _MARGIN_SECONDS)
        return access

    def forget(self, repository: int) -> bool:
        """Use a new token from now on; False when there is none but the one that we were given."""
        return self._known.pop(repository, None) is not None

    async def installations(self) -> list[Access]:
        """The right to ask what each installation of the App covers; none with a fixed token."""
        app = self._app
        if app is None:
            return []
        pages = self._caller.pages("/app/installations", lambda url: self._caller.ask("GET", url, app.access()))
        found = [each async for page in pages for each in checked(page)]
        active = [each["id"] for each in found if each.get("suspended_at") is None]
        return [await self._installation_access(app, installation, {}) for installation in active]

    async def _repository_access(self, app: AppKey, repository: int) -> Access:
        found = await self._caller.ask("GET", f"/repositories/{repository}/installation", app.access())
        if found.status_code in GONE:
            raise _not_installed(repository)
        try:
            return await self._installation_access(app, checked(found)["id"], {"repository_ids": [repository]})
        except ForgeGone:
            raise _not_installed(repository) from None

    async def _installation_access(self, app: AppKey, installation: int, body: dict[str, object]) -> Access:
        answer = await self._caller.ask("POST", f"/app/installations/{installation}/access_tokens", app.access(), body)
        if is_suspended(answer):
            raise ForgeGone(f"installation {installation} of the GitHub App is suspended", "unsuspend it on GitHub")
        return Access(token=checked(answer)["token"], scope=f"installation {installation}")


def is_suspended(answer: httpx.Response) -> bool:
    """Whether GitHub refuses because somebody suspended the App's installation."""
    return answer.status_code == httpx.codes.FORBIDDEN and "installation has been suspended" in answer.text.lower()


def _not_installed(repository: int) -> ForgeGone:
    return ForgeGone(
        f"the GitHub App is not installed on repository {repository}, or suspended there",
        "install it there, or close the preview",
    )
