import pytest

from orchestrator.preview.state import State
from webhooks.router.pages import STYLE, UNKNOWN, page
from webhooks.router.router import normal_host


@pytest.mark.parametrize(
    ("values", "host"),
    [
        ([b"PR-7-Shop.Preview.Test"], "pr-7-shop.preview.test"),
        ([b"a.test:8080"], "a.test"),
        ([b"a.test."], "a.test"),
        ([b"a.test.:80"], "a.test"),
        ([b"a.test.."], "a.test."),
        ([b"a.test:"], "a.test"),
        ([b"a.test:80:80"], ""),
        ([b"a.test:x"], ""),
        ([b"a.test:\xb2"], ""),
        ([b"[::1]:80"], ""),
        ([b"user@a.test"], ""),
        ([b"../a.test"], ""),
        ([b"a_b.test"], ""),
        (["ä.test".encode()], ""),
        ([b"\xe4.test"], ""),
        ([b"a.test\x00"], ""),
        ([b""], ""),
        ([], ""),
        ([b"a.test", b"b.test"], ""),
    ],
    ids=repr,
)
def test_hosts(values: list[bytes], host: str) -> None:
    assert normal_host(values) == host


@pytest.mark.parametrize("state", State)
def test_every_state_has_a_page_that_escapes(state: State) -> None:
    shown = page(state, "<script>alert('x')</script>")
    markup = shown.html('"><script>').decode()
    assert "<script>" not in markup
    assert "&lt;script&gt;alert(&#x27;x&#x27;)" in markup
    assert state.value in markup
    assert shown.status in {404, 503}
    assert b"<script>alert" in shown.text_only()  # plain text is no markup


def test_pages_that_wait_look_again_by_themselves() -> None:
    assert 'http-equiv="refresh" content="2"' in page(State.BUILDING, "").html("h").decode()
    assert "refresh" not in UNKNOWN.html("h").decode().replace(STYLE, "")
