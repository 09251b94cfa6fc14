"""The dashboard's files: nothing in them may need what the page's policy forbids."""

import re

import pytest

from webhooks.dashboard.rendering import HEADERS, HERE, environment
from webhooks.dashboard.sign_in import local

TEMPLATES = sorted(path.relative_to(HERE / "templates").as_posix() for path in (HERE / "templates").rglob("*.html"))


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_compile_and_keep_to_the_policy(name: str) -> None:
    environment().get_template(name)
    text = (HERE / "templates" / name).read_text()
    assert "| safe" not in text
    assert not re.search(r"\sstyle=|\son\w+=|<style|javascript:", text)
    assert not re.search(r"<script(?![^>]*\ssrc=\"/static/)", text)


def test_nothing_comes_from_elsewhere() -> None:
    for path in (HERE / "static").iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|@import|url\(", text), path
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


@pytest.mark.parametrize(
    "target",
    [
        "//evil.test",
        "https://evil.test",
        "/\\evil.test",
        "",
        "javascript:alert(1)",
        "/a\nb",
        "\\/evil",
        "/\t/x",
    ],
)
def test_signing_in_never_leads_elsewhere(target: str) -> None:
    assert local(target) == "/"


def test_signing_in_leads_back() -> None:
    assert local("/previews/1-2?x=y") == "/previews/1-2?x=y"
