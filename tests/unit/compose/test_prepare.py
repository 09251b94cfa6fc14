"""The whole way, on the two Compose files of the example that users have."""

from pathlib import Path

import pytest

from orchestrator.codebase.python.packages import Driver
from orchestrator.compose.database import DatabaseUrls
from orchestrator.compose.inject import Facts
from orchestrator.compose.model import Build
from orchestrator.compose.prepare import prepare

EXAMPLE = Path(__file__).parents[3] / "examples" / "fastapi-postgres"
OWN = DatabaseUrls(host="10.0.0.1", port=5432, user="u", password="p", database="d")
HOST = "pr-7-app.previews.test"
FACTS = Facts(
    host=HOST,
    url=f"https://{HOST}",
    pull=7,
    repository="o/app",
    branch="topic",
    commit="c" * 40,
    secrets={"JWT_SECRET": "generated"},
    database=OWN,
)


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return {str(path.relative_to(EXAMPLE)): path.read_bytes() for path in EXAMPLE.rglob("*") if path.is_file()}


@pytest.mark.parametrize("path", ["docker-compose.yml", "docker-compose.preview.yml"])
def test_both_files_of_the_example_give_a_preview(files: dict[str, bytes], path: str) -> None:
    prepared = prepare(files, path, FACTS)
    stack, found = prepared.stack, prepared.route
    assert list(stack.services) == ["api"]
    service = stack.services["api"]
    assert service.build == Build()
    assert service.depends_on == {}
    assert service.environment["DATABASE_URL"] == OWN.url(Driver.ASYNCPG)
    assert service.environment["ALEMBIC_DATABASE_URL"] == OWN.url(Driver.PLAIN)
    assert service.environment["JWT_SECRET"] == "generated"
    assert service.environment["ALLOWED_HOSTS"] == HOST
    assert service.environment["CORS_ORIGINS"] == f"https://{HOST}"
    assert service.environment["GIT_SHA"] == "c" * 40
    assert (found.service, found.port, found.health) == ("api", 8000, "/health")
    assert stack.warnings == ()


def text_files(text: str) -> dict[str, bytes]:
    return {"compose.yaml": text.encode()}


def test_the_driver_that_the_file_asks_for_reaches_interpolation() -> None:
    text = "services:\n  a: {build: ., environment: {COPY: $DATABASE_URL}}\nx-preview: {database: {driver: psycopg2}}\n"
    stack = prepare(text_files(text), "compose.yaml", FACTS).stack
    assert stack.services["a"].environment["COPY"] == OWN.url(Driver.PSYCOPG2)
    assert stack.services["a"].environment["DATABASE_URL"] == OWN.url(Driver.PSYCOPG2)


def test_the_port_that_the_file_tells_is_injected() -> None:
    stack = prepare(text_files("services: {a: {build: ., expose: [9000]}}"), "compose.yaml", FACTS).stack
    assert stack.services["a"].environment["PORT"] == "9000"
    unknown = prepare(text_files("services: {a: {build: .}}"), "compose.yaml", FACTS).stack
    assert "PORT" not in unknown.services["a"].environment


def test_a_container_mode_stack_keeps_its_own_database() -> None:
    text = """
services:
  a: {build: ., environment: {DATABASE_URL: '${DATABASE_URL:-postgresql://u:p@db/x}'}, depends_on: [db]}
  db: {image: 'postgres:16'}
x-preview: {database: {mode: container}}
"""
    stack = prepare(text_files(text), "compose.yaml", FACTS).stack
    assert list(stack.services) == ["a", "db"]
    assert stack.services["a"].environment["DATABASE_URL"] == "postgresql://u:p@db/x"
    assert "ALEMBIC_DATABASE_URL" not in stack.services["a"].environment


def test_a_database_that_is_built_here_is_no_candidate_once_it_is_replaced() -> None:
    text = """
services:
  api: {build: ., expose: [8000], environment: {U: 'postgresql://u:p@store/x'}}
  store: {build: ./store, expose: [5432]}
x-preview: {database: {service: store}}
"""
    prepared = prepare(text_files(text), "compose.yaml", FACTS)
    stack, found = prepared.stack, prepared.route
    assert list(stack.services) == ["api"]
    assert (found.service, found.port) == ("api", 8000)
