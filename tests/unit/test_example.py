"""The sample application, as far as it can be tested without a database: its settings and its Compose files."""

import importlib.util
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

EXAMPLE = Path(__file__).parents[2] / "examples" / "fastapi-postgres"

ENVIRONMENT = {
    "DATABASE_URL": "postgresql+asyncpg://u:p@db:5432/app",
    "ALEMBIC_DATABASE_URL": "postgresql://u:p@db:5432/app",
    "JWT_SECRET": "a-secret-of-some-length",
}


@pytest.fixture(scope="module")
def settings_module() -> ModuleType:
    """Load the module from its file: the example is an application beside ours, not a part of it."""
    spec = importlib.util.spec_from_file_location("example_settings", EXAMPLE / "app" / "settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ALLOWED_HOSTS", "CORS_ORIGINS", "GIT_SHA", "ENV"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a.example.com", ["a.example.com"]),
        ("a.example.com, b.example.com", ["a.example.com", "b.example.com"]),
        ('["a.example.com", "b.example.com"]', ["a.example.com", "b.example.com"]),
        ("", []),
        ("[]", []),
    ],
)
@pytest.mark.parametrize("field", ["allowed_hosts", "cors_origins"])
def test_lists_are_read_with_commas_and_as_json(
    settings_module: ModuleType, monkeypatch: pytest.MonkeyPatch, field: str, text: str, values: list[str]
) -> None:
    monkeypatch.setenv(field.upper(), text)
    assert getattr(settings_module.Settings(), field) == values


def test_a_broken_json_list_names_the_variable(settings_module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_ORIGINS", '["https://a.example.com"')
    with pytest.raises(ValidationError, match="cors_origins"):
        settings_module.Settings()


def test_the_loopback_hosts_are_trusted_beside_the_public_one(
    settings_module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", "pr-1.example.com")
    assert settings_module.Settings().trusted_hosts == ["pr-1.example.com", "localhost", "127.0.0.1"]


@pytest.mark.parametrize("secret", [None, ""])
def test_the_signing_secret_is_required(
    settings_module: ModuleType, monkeypatch: pytest.MonkeyPatch, secret: str | None
) -> None:
    monkeypatch.delenv("JWT_SECRET")
    if secret is not None:
        monkeypatch.setenv("JWT_SECRET", secret)
    with pytest.raises(ValidationError, match="jwt_secret"):
        settings_module.Settings()


def test_the_local_stack_builds_and_brings_its_database() -> None:
    services = compose_services("docker-compose.yml")
    api, database = services["api"], services["db"]
    assert api["build"] == "."
    assert api["ports"]
    assert any(volume.startswith("./") for volume in api["volumes"])
    assert api["depends_on"] == {"db": {"condition": "service_healthy"}}
    assert database["image"] == "postgres:16"
    assert "pg_isready" in database["healthcheck"]["test"][1]


def test_the_preview_stack_is_one_service_named_by_the_commit() -> None:
    services = compose_services("docker-compose.preview.yml")
    assert list(services) == ["api"]
    api = services["api"]
    assert api["image"] == "ghcr.io/myorg/myapp:${GIT_SHA}"
    assert "build" not in api
    assert api["command"] == ["bin/preview-entrypoint.sh"]
    assert api["expose"] == ["8000"]
    assert api["environment"] == {
        "DATABASE_URL": "postgresql+asyncpg://postgres:postgres@db:5432/app_preview",
        "ALEMBIC_DATABASE_URL": "postgresql://postgres:postgres@db:5432/app_preview",
        "JWT_SECRET": "${JWT_SECRET}",
        "ALLOWED_HOSTS": "${PREVIEW_HOST}",
        "CORS_ORIGINS": "https://${PREVIEW_HOST}",
    }


def test_the_entrypoint_can_be_run_as_it_is_checked_out() -> None:
    assert os.access(EXAMPLE / "bin" / "preview-entrypoint.sh", os.X_OK)


def compose_services(name: str) -> dict[str, Any]:
    """Read the services of one of the example's Compose files."""
    services: dict[str, Any] = yaml.safe_load((EXAMPLE / name).read_text())["services"]
    return services
