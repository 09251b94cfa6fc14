"""Images that run Postgres, what they need of another server, and when a stack's own container is kept."""

import pytest

from orchestrator.compose.database import DatabaseUrls, ServerFacts, container_urls, is_postgres, placement
from orchestrator.compose.database.images import requirements
from orchestrator.compose.inject import Facts
from orchestrator.compose.model import DatabaseMode
from orchestrator.compose.prepare import Prepared, prepare
from tests.unit.compose.support import stack_of

SERVER = ServerFacts(major=16, extensions=frozenset({"vector", "pg_trgm", "uuid-ossp"}))
FACTS = Facts(
    host="pr-7-app.previews.test",
    url="https://pr-7-app.previews.test",
    pull=7,
    repository="o/app",
    branch="topic",
    commit="c" * 40,
    database=DatabaseUrls(host="own", port=5432, user="pv", password="secret", database="pv_1"),
    server=SERVER,
)


def text(image: str) -> str:
    return f"""
services:
  api: {{build: ., expose: [80], environment: {{U: 'postgresql://u:p@db/x', D: '${{DATABASE_URL}}'}}, depends_on: [db]}}
  db: {{image: '{image}', environment: {{POSTGRES_USER: me, POSTGRES_PASSWORD: own, POSTGRES_DB: app}}}}
"""


@pytest.mark.parametrize(
    ("image", "extensions", "major"),
    [
        ("postgres", set(), None),
        ("postgres:latest", set(), None),
        ("postgres:16", set(), 16),
        ("postgres:16.3-alpine3.20", set(), 16),
        ("postgres:9.6", set(), 9),
        ("docker.io/library/postgres:15@sha256:" + "a" * 64, set(), 15),
        ("localhost:5000/postgres:17", set(), 17),
        ("bitnami/postgresql:16.2.0-debian-12-r8", set(), 16),
        ("cimg/postgres:15.3", set(), 15),
        ("postgis/postgis:16-3.4", {"postgis"}, 16),
        ("ghcr.io/baosystems/postgis:15-3.3", {"postgis"}, 15),
        ("pgvector/pgvector:pg16", {"vector"}, 16),
        ("pgvector/pgvector:0.8.0-pg17", {"vector"}, 17),
        ("ankane/pgvector:v0.5.1", {"vector"}, None),
        ("timescale/timescaledb:2.14.2-pg16", {"timescaledb"}, 16),
        ("timescale/timescaledb:latest-pg15", {"timescaledb"}, 15),
        ("timescale/timescaledb-ha:pg17.2-ts2.17", {"timescaledb"}, 17),
        ("citusdata/citus:12.1", {"citus"}, None),
        ("paradedb/paradedb:0.15.1-pg17", {"pg_search"}, 17),
        ("supabase/postgres:15.1.0.147", {"pg_graphql"}, 15),
        ("public.ecr.aws/supabase/postgres:15.8.1.060", {"pg_graphql"}, 15),
        ("ghcr.io/immich-app/postgres:14-vectorchord0.3.0", {"vchord"}, 14),
        ("apache/age:release_PG16_1.5.0", {"age"}, 16),
    ],
)
def test_the_images_that_run_postgres(image: str, extensions: set[str], major: int | None) -> None:
    service = stack_of(text(image)).services["db"]
    assert is_postgres(service)
    needs = requirements(service)
    assert (set(needs.extensions), needs.major) == (extensions, major)


@pytest.mark.parametrize(
    "image",
    ["mysql:8", "redis:7", "prometheuscommunity/postgres-exporter:1", "postgrest/postgrest", "supabase/postgres-meta"],
)
def test_other_images_do_not(image: str) -> None:
    assert not is_postgres(stack_of(text(image)).services["db"])


def prepared(image: str, **files: str) -> Prepared:
    others = {name.replace("__", "."): content.encode() for name, content in files.items()}
    return prepare({"compose.yaml": text(image).encode(), **others}, "compose.yaml", FACTS)


@pytest.mark.parametrize(
    "image", ["postgres:16", "postgres:14", "postgres", "pgvector/pgvector:pg16", "postgis/postgis:16-3.4"]
)
def test_a_server_that_has_what_is_needed_takes_the_place(image: str) -> None:
    facts = ServerFacts(major=16, extensions=SERVER.extensions | {"postgis"})
    found = placement(stack_of(text(image)), {}, facts)
    assert (found.mode, found.replaces, found.kept) == (DatabaseMode.MANAGED, "db", "")


@pytest.mark.parametrize(
    ("image", "lacking"),
    [
        ("postgis/postgis:16-3.4", "the extension postgis (for the image postgis/postgis:16-3.4)"),
        ("timescale/timescaledb:latest-pg16", "the extension timescaledb"),
        ("postgres:17", "version 17 (it is 16)"),
        ("postgis/postgis:17-3.5", "the extension postgis (for the image postgis/postgis:17-3.5) and version 17"),
    ],
)
def test_else_the_container_is_kept_and_the_comment_says_why(image: str, lacking: str) -> None:
    found = prepared(image)
    assert list(found.stack.services) == ["api", "db"]
    assert found.stack.preview.database.mode is DatabaseMode.CONTAINER
    [note] = [note for note in found.stack.notes if "is kept" in note]
    assert note.startswith("compose.yaml:4")
    assert f"lacks {lacking}" in note
    assert "the stack's volumes" in note
    assert "Install what is missing" in note
    assert found.rewrites == ()
    assert found.stack.services["api"].environment["U"] == "postgresql://u:p@db/x"
    assert found.stack.services["api"].environment["D"] == "postgresql://me:own@db:5432/app"
    assert found.stack.services["api"].environment["ALEMBIC_DATABASE_URL"] == "postgresql://me:own@db:5432/app"


def test_the_usual_login_of_a_container_that_is_told_none() -> None:
    stack = stack_of("services: {a: {build: ., environment: {U: 'postgresql://db'}}, db: {image: 'postgres:17'}}")
    urls = container_urls(stack, placement(stack, {}, SERVER))
    assert urls is not None
    assert (urls.user, urls.password, urls.database) == ("postgres", "", "postgres")


def test_an_older_image_gets_a_note() -> None:
    assert any("Postgres 16, which is newer" in note for note in prepared("postgres:13").stack.notes)


@pytest.mark.parametrize(
    ("name", "content", "kept"),
    [
        ("migrations/versions/1__py", 'op.execute("CREATE EXTENSION IF NOT EXISTS postgis")', True),
        ("alembic/versions/1__py", "op.execute('create extension \"pg_partman\"')", True),
        ("db/migrations/1__sql", "CREATE EXTENSION hstore;", True),
        ("alembic/versions/1__py", 'op.execute("CREATE EXTENSION IF NOT EXISTS vector")', False),
        ("alembic/versions/1__py", "op.execute('CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\"')", False),
        ("alembic/versions/1__py", "# CREATE EXTENSION postgis", False),
        ("app/notes__py", 'op.execute("CREATE EXTENSION postgis")', False),
        ("alembic/versions/1__py", "CREATE EXTENSION plpgsql", False),
    ],
)
def test_extensions_that_migrations_create_are_needed(name: str, content: str, kept: bool) -> None:
    found = prepared("postgres:16", **{name: content})
    assert bool(found.database.kept) is kept
    if kept:
        assert f"(for {name.replace('__', '.')}:1)" in found.database.kept


def test_a_bare_host_that_cannot_be_kept_is_told() -> None:
    compose = "services: {api: {build: ., expose: [80], environment: {U: 'postgresql://u@db/x'}}}"
    migration = b"op.execute('CREATE EXTENSION postgis')"
    files = {"compose.yaml": compose.encode(), "alembic/versions/1.py": migration}
    found = prepare(files, "compose.yaml", FACTS)
    assert found.database.replaces == "db"
    assert any("lacks the extension postgis" in note for note in found.stack.notes)
