"""Settings: what is wrong is said with the variable's name, and before anything starts."""

import pytest

from orchestrator.preview.errors import ConfigurationError
from orchestrator.runtime.settings import Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PROXY_LISTEN", "abc"),
        ("PROXY_LISTEN", "127.0.0.1:99999"),
        ("WEB_LISTEN", "127.0.0.1:abc"),
        ("DATABASE_URL", "nonsense"),
        ("PREVIEWS_DATABASE_URL", "mysql://a@b/c"),
        ("REDIS_URL", "nonsense"),
        ("DOCKER_HOST", "nowhere"),
        ("DOMAIN", "a b{"),
        ("HOST_TEMPLATE", "{number}.{domain}"),
        ("HOST_TEMPLATE", "{number}.{repo}.{domain}"),
        ("INSTANCE", "Has-Hyphens"),
        ("SUBNET_POOL", "10.0.0.0/99"),
        ("MEMORY_BYTES", "12"),
    ],
)
def test_a_wrong_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"PREVIEWD_{name}", value)
    with pytest.raises(ConfigurationError, match=f"PREVIEWD_{name}: "):
        Settings.load()


def test_several_secrets_are_split_at_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVIEWD_GITHUB_WEBHOOK_SECRET", "new, old")
    assert [secret.get_secret_value() for secret in Settings.load().github_webhook_secret] == ["new", "old"]


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVIEWD_DATABASE_URL", "postgresql://a:b@c/d")
    with pytest.raises(ConfigurationError, match="PREVIEWD_REDIS_URL") as caught:
        Settings.load().require("database_url", "redis_url")
    assert "PREVIEWD_DATABASE_URL" not in caught.value.message


@pytest.mark.parametrize(
    ("scheme", "port", "url"),
    [("https", 443, "https://a.b"), ("http", 80, "http://a.b"), ("http", 8080, "http://a.b:8080")],
)
def test_links_name_a_port_only_where_it_is_unusual(scheme: str, port: int, url: str) -> None:
    assert Settings(previews_scheme=scheme, previews_port=port).preview_url("a.b") == url
