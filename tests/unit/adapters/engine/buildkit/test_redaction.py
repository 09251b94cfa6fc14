"""Secrets in what a build says."""

import base64

import pytest

from orchestrator.adapters.engine.buildkit.redaction import HIDDEN, Redaction

SECRET = b"correct horse? battery>staple"


@pytest.mark.parametrize("before", ["", "u", "us", "user:"])
@pytest.mark.parametrize("after", ["", "\n", "!!"])
def test_base64_of_a_longer_text(before: str, after: str) -> None:
    whole = f"{before}{SECRET.decode()}{after}".encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        shown = Redaction([SECRET])(f"token {encode(whole).decode()} sent")
        assert HIDDEN in shown
        assert len(shown) < len("token [hidden] sent") + 16


def test_each_line_of_a_key_is_hidden_and_its_braces_are_not() -> None:
    redact = Redaction([b'{\n  "key": "abcdef"\n}\n'])
    assert redact('got "key": "abcdef" {') == f"got {HIDDEN} {{"


def test_the_longest_form_is_hidden_first() -> None:
    assert Redaction([b"abcd", b"abcdefgh"])("abcdefgh abcd") == f"{HIDDEN} {HIDDEN}"


def test_nothing_is_hidden_without_secrets() -> None:
    assert Redaction([])("text") == "text"
    assert Redaction([b""])("text") == "text"


def test_many_secrets_are_looked_up_and_not_tried_one_by_one() -> None:
    secret = "\n".join(f"line {number:06}" for number in range(20_000)).encode()
    assert Redaction([secret])("so line 019999 is" * 10_000) == f"so {HIDDEN} is" * 10_000
