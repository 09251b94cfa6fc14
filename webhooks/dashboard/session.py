"""Who is signed in to the dashboard: a cookie that holds when it ends and our signature of that. Pure.

Nothing is stored. The signature depends on the secret keys and on the admin token, so changing the token signs
everybody out. itsdangerous' TimestampSigner would save three lines of this and take the time by itself.
"""

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit

from orchestrator.runtime.settings import Settings

LIFETIME_SECONDS = 7 * 24 * 3600


def issue(settings: Settings, now: float) -> str:
    """A cookie's value, for somebody who knew the admin token."""
    expires = str(int(now) + LIFETIME_SECONDS)
    return f"{expires}.{_mac(_keys(settings)[0], expires)}"


def holds(settings: Settings, cookie: str, now: float) -> bool:
    """Whether we issued this cookie, under any of the keys, and it has not ended."""
    expires, _, mac = cookie.partition(".")
    if not settings.admin_token.get_secret_value() or not (expires.isascii() and expires.isdecimal()):
        return False
    genuine = [hmac.compare_digest(mac.encode(), _mac(key, expires).encode()) for key in _keys(settings)]
    return any(genuine) and int(expires[:15]) > now


def knows_token(settings: Settings, shown: str) -> bool:
    """Whether somebody shows the admin token. Nobody does while it is not set."""
    expected = settings.admin_token.get_secret_value().encode()
    return hmac.compare_digest(shown.encode("utf-8", "replace"), expected) and bool(expected)


def cookie_name(settings: Settings) -> str:
    """Over HTTPS the name itself keeps other hosts of the domain, such as previews, from setting the cookie."""
    return "__Host-previewd" if is_secure(settings) else "previewd"


def is_secure(settings: Settings) -> bool:
    return settings.public_url.startswith("https://")


def same_origin(headers: Mapping[str, str], public_url: str) -> bool:
    """Whether a request that changes something comes from one of our own pages, as the browser says.

    `Sec-Fetch-Site` decides where there is one; browsers leave it out over plain HTTP, but never `Origin`.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = urlsplit(headers.get("origin", ""))
    return bool(origin.netloc) and origin.netloc in {headers.get("host", ""), urlsplit(public_url).netloc}


def _keys(settings: Settings) -> list[bytes]:
    token = settings.admin_token.get_secret_value()
    secrets = [key.get_secret_value() for key in settings.secret_key] or [""]
    return [hashlib.sha256(f"dashboard session\0{secret}\0{token}".encode()).digest() for secret in secrets]


def _mac(key: bytes, expires: str) -> str:
    return hmac.new(key, expires.encode(), hashlib.sha256).hexdigest()
