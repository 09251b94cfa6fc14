"""Which database a stack uses, and the stack with the preview's own in its place."""

from urllib.parse import unquote, urlsplit

import pytest

from orchestrator.compose.database import DatabaseUrls, driver_asked, replaced_service, rewrite
from orchestrator.compose.model import Driver
from tests.unit.compose.support import stack_of

OWN = DatabaseUrls(host="10.0.0.1", port=5433, user="pr_1", password="p@ss/w:rd", database="pr_1")
LOGIN = "pr_1:p%40ss%2Fw%3Ard@10.0.0.1:5433/pr_1"


def app(environment: str, more: str = "") -> str:
    return f"services:\n  api:\n    build: .\n    environment:\n      {environment}\n{more}"


POSTGRES = "  db:\n    image: postgres:16\n"


@pytest.mark.parametrize(
    ("driver", "scheme"),
    [
        (Driver.ASYNCPG, "postgresql+asyncpg"),
        (Driver.PSYCOPG, "postgresql+psycopg"),
        (Driver.PSYCOPG2, "postgresql+psycopg2"),
        (Driver.PLAIN, "postgresql"),
    ],
)
def test_every_form_of_the_url_survives_a_parser(driver: Driver, scheme: str) -> None:
    parts = urlsplit(OWN.url(driver))
    assert (parts.scheme, parts.hostname, parts.port, parts.path) == (scheme, "10.0.0.1", 5433, "/pr_1")
    assert (parts.username, unquote(parts.password or "")) == ("pr_1", "p@ss/w:rd")


def test_an_address_of_version_6_stands_in_brackets() -> None:
    own = DatabaseUrls(host="fd00::1", port=5432, user="u", password="p", database="d")
    assert urlsplit(own.url()).hostname == "fd00::1"


@pytest.mark.parametrize(
    ("text", "replaced"),
    [
        (app("DATABASE_URL: postgresql://u:p@db/x", POSTGRES), "db"),
        (app("OTHER_URL: postgres://u:p@db:5432/x", POSTGRES), "db"),
        (app("DATABASE_URL: postgresql://u:p@pg/x", POSTGRES.replace("  db:", "  pg:")), "pg"),
        (app("U: postgresql+asyncpg://u:p@my_db/x", POSTGRES + "    container_name: my_db\n"), "db"),
        (app("U: postgresql://u@vec/x", "  vec:\n    image: pgvector/pgvector:pg16\n"), "vec"),
        (app("U: postgresql://u@t/x", "  t:\n    image: docker.io/timescale/timescaledb:latest-pg16\n"), "t"),
        (app("DATABASE_URL: postgresql://u:p@db/x"), "db"),
        (app("DATABASE_URL: ${DATABASE_URL}", POSTGRES), "db"),
        (app("DATABASE_URL:", POSTGRES), "db"),
        (app("DATABASE_URL: '${DATABASE_URL:-postgresql://u:p@db/x}'", POSTGRES), "db"),
        (app("PGHOST: db", POSTGRES), None),
        (app("DATABASE_URL: postgresql://u:p@server.example.com/x"), None),
        (app("DATABASE_URL: postgresql://u:p@10.1.1.1/x"), None),
        (app("DATABASE_URL: postgresql://u:p@localhost/x"), None),
        (app("DATABASE_URL: sqlite:///x.db"), None),
        (app("DATABASE_URL: mysql://u:p@db/x", "  db:\n    image: mysql\n"), None),
        (app("DATABASE_URL: postgresql://u:p@cache/x", "  cache:\n    image: redis\n"), None),
        (app("U: postgresql://u@db/x", POSTGRES + "x-preview: {database: {mode: container}}\n"), None),
        (app("U: postgresql://u@db/x", POSTGRES + "x-preview: {database: {mode: none}}\n"), None),
        (app("U: postgresql://u@db/x", POSTGRES + "x-preview: {database: {service: main}}\n"), "main"),
    ],
)
def test_the_replaced_service(text: str, replaced: str | None) -> None:
    assert replaced_service(stack_of(text, {"DATABASE_URL": OWN.url(Driver.ASYNCPG)})) == replaced


@pytest.mark.parametrize(
    ("written", "rewritten"),
    [
        ("postgresql+asyncpg://postgres:postgres@db:5432/app", f"postgresql+asyncpg://{LOGIN}"),
        ("postgresql+psycopg2://postgres@db/app", f"postgresql+psycopg2://{LOGIN}"),
        ("postgres://db", f"postgres://{LOGIN}"),
        ("postgis://u:p@db/x", f"postgis://{LOGIN}"),
        ("postgresql://u:p@db/x?sslmode=disable&a=b", f"postgresql://{LOGIN}?sslmode=disable&a=b"),
        ("postgresql://u:p@s@db:5432/x", f"postgresql://{LOGIN}"),
        ("postgresql://u:p@other:5432/x", "postgresql://u:p@other:5432/x"),
        ("postgresql://u:p@db.example.com/x", "postgresql://u:p@db.example.com/x"),
        ("see postgresql://u:p@db/x", "see postgresql://u:p@db/x"),
        ("redis://db:6379/0", "redis://db:6379/0"),
    ],
)
def test_urls_keep_their_driver_and_query(written: str, rewritten: str) -> None:
    text = app(f"A: postgresql://u@db/x\n      B: '{written}'", POSTGRES)
    assert rewrite(stack_of(text), OWN).services["api"].environment["B"] == rewritten


def test_the_replaced_service_leaves_the_stack() -> None:
    more = "    depends_on: {db: {condition: service_healthy}, cache: {condition: service_started}}\n"
    more += "  db:\n    image: postgres:16\n    volumes: ['data:/var/lib/postgresql/data']\n    networks: [back]\n"
    more += "  cache: {image: redis}\nvolumes: {data: }\nnetworks: {back: }\n"
    stack = rewrite(stack_of(app("DATABASE_URL: postgresql://u:p@db/x", more)), OWN)
    assert list(stack.services) == ["api", "cache"]
    assert list(stack.services["api"].depends_on) == ["cache"]
    assert stack.volumes == ()
    assert list(stack.networks) == ["default"]
    assert stack.warnings == ()


def test_a_url_that_the_file_interpolates_is_rewritten_too() -> None:
    text = app("U: 'postgresql://${PGUSER:-u}:${PGPASSWORD:-p}@db:5432/${PGDATABASE:-x}'", POSTGRES)
    assert rewrite(stack_of(text), OWN).services["api"].environment["U"] == f"postgresql://{LOGIN}"


def test_a_stack_without_postgres_stays_as_it_is() -> None:
    stack = stack_of(app("A: b"))
    assert rewrite(stack, OWN) is stack


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (app("U: postgresql://u@db/x\n      POSTGRES_HOST: db", POSTGRES), "POSTGRES_HOST names `db`"),
        (app("U: postgresql://u@db/x\n      DB_HOST: db", POSTGRES), "DB_HOST names `db`"),
        (app("U: postgresql://u@db/x", "    command: wait-for db:5432 -- serve\n" + POSTGRES), "command mentions `db`"),
        (app("U: postgresql://u@db/x\n      T: postgresql://u@db/test", POSTGRES), "test, x become one"),
        (app("U: postgresql://u@db/x", "  db:\n    image: postgis/postgis:16\n"), "must have the extensions"),
        (
            app("U: postgresql://u@db/x", POSTGRES + "    volumes: ['./gone:/docker-entrypoint-initdb.d']\n"),
            "do not run",
        ),
    ],
)
def test_what_still_expects_the_server_is_said(text: str, warning: str) -> None:
    assert any(warning in found for found in rewrite(stack_of(text), OWN).warnings)


@pytest.mark.parametrize(
    ("text", "driver"),
    [
        (app("DATABASE_URL: postgresql+psycopg://u@db/x"), Driver.PSYCOPG),
        (app("DATABASE_URL: postgresql://u@db/x"), Driver.PLAIN),
        (app("DB: postgresql+asyncpg://u@db/x"), Driver.ASYNCPG),
        (app("A: postgresql+psycopg2://u@db/x\n      DATABASE_URL: postgresql+asyncpg://u@db/x"), Driver.ASYNCPG),
        (app("ALEMBIC_DATABASE_URL: postgresql://u@db/x"), None),
        (app("DATABASE_URL: $DATABASE_URL"), None),
        (app("A: b"), None),
        (app("DATABASE_URL: postgresql://u@db/x", "x-preview: {database: {driver: psycopg2}}\n"), Driver.PSYCOPG2),
    ],
)
def test_the_driver_that_the_file_asks_for(text: str, driver: Driver | None) -> None:
    assert driver_asked(stack_of(text, {"DATABASE_URL": OWN.url(Driver.ASYNCPG)})) == driver
