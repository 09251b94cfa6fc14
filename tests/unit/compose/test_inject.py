"""Which variables reach which service."""

import pytest

from orchestrator.compose.database import DatabaseUrls
from orchestrator.compose.inject import Facts, encoded, inject, injected
from orchestrator.compose.model import Encoding
from tests.unit.compose.support import stack_of

FACTS = Facts(
    host="pr-7-app.previews.test",
    url="https://pr-7-app.previews.test",
    pull=7,
    repository="o/app",
    branch="topic",
    commit="c" * 40,
    secrets={"JWT_SECRET": "generated", "SESSION_SECRET": "too"},
    database=DatabaseUrls(host="10.0.0.1", port=5432, user="u", password="p", database="d"),
    scheme="postgresql+psycopg",
    port=8000,
)


def test_the_contract() -> None:
    assert injected(FACTS) == {
        "PREVIEW_HOST": "pr-7-app.previews.test",
        "PREVIEW_URL": "https://pr-7-app.previews.test",
        "PREVIEW_PR": "7",
        "PREVIEW_REPO": "o/app",
        "PREVIEW_BRANCH": "topic",
        "ALLOWED_HOSTS": "pr-7-app.previews.test",
        "CORS_ORIGINS": "https://pr-7-app.previews.test",
        "JWT_SECRET": "generated",
        "SESSION_SECRET": "too",
        "DATABASE_URL": "postgresql+psycopg://u:p@10.0.0.1:5432/d",
        "ALEMBIC_DATABASE_URL": "postgresql://u:p@10.0.0.1:5432/d",
        "GIT_SHA": "c" * 40,
        "ENV": "preview",
        "PORT": "8000",
    }


def environment_of(lines: str, more: str = "", image: str = "build: .") -> dict[str, str]:
    text = f"services:\n  a:\n    {image}\n    environment:\n      X: y\n{lines}{more}"
    values = injected(FACTS)
    return dict(inject(stack_of(text, values), values).services["a"].environment)


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("", "JWT_SECRET", "generated"),
        ("      JWT_SECRET: literal\n", "JWT_SECRET", "generated"),
        ("      JWT_SECRET: a-${JWT_SECRET}\n", "JWT_SECRET", "a-generated"),
        ("      JWT_SECRET: ${OTHER:-mine}\n", "JWT_SECRET", "mine"),
        ("      JWT_SECRET:\n", "JWT_SECRET", "generated"),
        ("      ALLOWED_HOSTS: localhost\n", "ALLOWED_HOSTS", "pr-7-app.previews.test"),
        ("      ENV: development\n", "ENV", "preview"),
        ("      PORT: 3000\n", "PORT", "3000"),
        ("      DATABASE_URL: sqlite:///x.db\n", "DATABASE_URL", "sqlite:///x.db"),
        ("      X: y2\n", "PREVIEW_PR", "7"),
    ],
)
def test_what_a_service_of_the_repository_gets(line: str, name: str, value: str) -> None:
    text = f"services:\n  a:\n    build: .\n    environment:\n      Z: z\n{line}"
    values = injected(FACTS)
    assert inject(stack_of(text, values), values).services["a"].environment[name] == value


def test_the_image_named_by_the_commit_gets_them_and_others_do_not() -> None:
    assert environment_of("", image="image: reg/app:$GIT_SHA")["JWT_SECRET"] == "generated"
    assert environment_of("", image="image: redis:7") == {"X": "y"}


def test_without_a_managed_database_no_url_is_given() -> None:
    found = environment_of("", "x-preview: {database: {mode: container}}\n")
    assert "DATABASE_URL" not in found
    assert "ALEMBIC_DATABASE_URL" not in found


def test_lists_are_encoded_as_asked_for() -> None:
    block = "x-preview: {encode: {CORS_ORIGINS: json, X: csv, NOPE: json}}\n"
    found = environment_of("", block)
    assert found["CORS_ORIGINS"] == '["https://pr-7-app.previews.test"]'
    assert found["X"] == "y"
    assert "NOPE" not in found


@pytest.mark.parametrize(
    ("value", "json"),
    [("a", '["a"]'), ("a, b,", '["a", "b"]'), ("", "[]"), ('["a"]', '["a"]'), ('a"b', '["a\\"b"]')],
)
def test_encoding(value: str, json: str) -> None:
    assert encoded(value, Encoding.JSON) == json
    assert encoded(value, Encoding.CSV) == value
