import pytest
from pydantic import SecretStr

from orchestrator.runtime.settings import Settings
from webhooks.dashboard import session

NOW = 1_800_000_000.0
TOKEN = "token"


def settings(token: str = TOKEN, *keys: str, url: str = "https://previewd.test") -> Settings:
    return Settings(admin_token=SecretStr(token), secret_key=tuple(map(SecretStr, keys)), public_url=url)


def test_a_cookie_holds_until_it_ends() -> None:
    given = settings()
    cookie = session.issue(given, NOW)
    assert session.holds(given, cookie, NOW)
    assert session.holds(given, cookie, NOW + session.LIFETIME_SECONDS - 1)
    assert not session.holds(given, cookie, NOW + session.LIFETIME_SECONDS)


def test_a_cookie_does_not_survive_another_token_or_key() -> None:
    cookie = session.issue(settings("token", "key"), NOW)
    assert session.holds(settings("token", "new", "key"), cookie, NOW)  # rotation
    assert not session.holds(settings("token", "new"), cookie, NOW)
    assert not session.holds(settings("other", "key"), cookie, NOW)
    assert not session.holds(settings("", "key"), session.issue(settings("", "key"), NOW), NOW)


@pytest.mark.parametrize("cookie", ["", ".", "x.y", "9" * 400, "9999999999.", "-1.x", "9999999999." + "0" * 64, "١.é"])
def test_a_forged_cookie_does_not_hold(cookie: str) -> None:
    assert not session.holds(settings(), cookie, NOW)


def test_a_cookie_cannot_be_prolonged() -> None:
    expires, _, mac = session.issue(settings(), NOW).partition(".")
    assert not session.holds(settings(), f"{int(expires) + 1}.{mac}", NOW)


def test_the_token_must_be_set_and_the_same() -> None:
    assert session.knows_token(settings("token"), "token")
    for shown in ("", "toke", "tokené", "\ud800"):
        assert not session.knows_token(settings("token"), shown)
    assert not session.knows_token(settings(""), "")


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-origin", "origin": "https://evil.test"}, True),
        ({"sec-fetch-site": "same-site", "origin": "https://previewd.test"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"origin": "https://previewd.test"}, True),
        ({"origin": "http://127.0.0.1:8000", "host": "127.0.0.1:8000"}, True),
        ({"origin": "https://pr-1-x.previewd.test"}, False),
        ({"origin": "null"}, False),
        ({"origin": "", "host": ""}, False),
        ({}, False),
    ],
    ids=repr,
)
def test_only_our_own_pages_may_act(headers: dict[str, str], same: bool) -> None:
    assert session.same_origin(headers, "https://previewd.test") is same


def test_over_https_no_other_host_can_set_the_cookie() -> None:
    assert session.cookie_name(settings()).startswith("__Host-")
    assert session.cookie_name(settings(url="http://previewd.localhost:8080")) == "previewd"
