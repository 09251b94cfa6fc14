"""Which database a stack uses, and the stack with the preview's own in its place."""

from urllib.parse import unquote, urlsplit

import pytest

from orchestrator.codebase.python.packages import Driver
from orchestrator.compose.database import DatabaseUrls, forms, placement, rewrite
from orchestrator.compose.database.detection import replaced_service
from orchestrator.compose.model import Stack
from tests.unit.compose.support import stack_of

OWN = DatabaseUrls(host="10.0.0.1", port=5433, user="pr_1", password="p@ss/w:rd", database="pr_1")
LOGIN = "pr_1:p%40ss%2Fw%3Ard@10.0.0.1:5433/pr_1"


def app(environment: str, more: str = "") -> str:
    return f"services:\n  api:\n    build: .\n    environment:\n      {environment}\n{more}"


def placed(stack: Stack) -> Stack:
    return rewrite(stack, OWN, placement(stack, {}, None))


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
        (app("PGHOST: db", POSTGRES), "db"),
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
    assert placed(stack_of(text)).services["api"].environment["B"] == rewritten


def test_the_replaced_service_leaves_the_stack() -> None:
    more = "    depends_on: {db: {condition: service_healthy}, cache: {condition: service_started}}\n"
    more += "  db:\n    image: postgres:16\n    volumes: ['data:/var/lib/postgresql/data']\n    networks: [back]\n"
    more += "  cache: {image: redis}\nvolumes: {data: }\nnetworks: {back: }\n"
    stack = placed(stack_of(app("DATABASE_URL: postgresql://u:p@db/x", more)))
    assert list(stack.services) == ["api", "cache"]
    assert list(stack.services["api"].depends_on) == ["cache"]
    assert stack.volumes == ()
    assert list(stack.networks) == ["default"]
    assert stack.warnings == ()


def test_a_url_that_the_file_interpolates_is_rewritten_too() -> None:
    text = app("U: 'postgresql://${PGUSER:-u}:${PGPASSWORD:-p}@db:5432/${PGDATABASE:-x}'", POSTGRES)
    assert placed(stack_of(text)).services["api"].environment["U"] == f"postgresql://{LOGIN}"


def test_a_stack_without_postgres_stays_as_it_is() -> None:
    stack = stack_of(app("A: b"))
    assert placed(stack) is stack


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (app("U: postgresql://u@db/x", "    command: wait-for db:5432 -- serve\n" + POSTGRES), "command mentions `db`"),
        (
            app("U: postgresql://u@db/x", "    command: sh -c 'migrate postgresql://u@db/x'\n" + POSTGRES),
            "mentions `db`",
        ),
        (app("U: postgresql://u@db/x\n      T: postgresql://u@db/test", POSTGRES), "test, x become one"),
        (
            app("U: postgresql://u@db/x", POSTGRES + "    volumes: ['./gone:/docker-entrypoint-initdb.d']\n"),
            "do not run",
        ),
        (
            "services:\n  api:\n    build: {context: ., args: {URL: 'postgresql://u@db/x'}}\n"
            "    environment: {U: 'postgresql://u@db/x'}\n" + POSTGRES,
            "build argument URL leads to `db`",
        ),
        (
            app("DB_HOST: db\n      DB_PASSWORD_FILE: /etc/secret", POSTGRES),
            "/etc/secret holds a part of the replaced server's login",
        ),
    ],
)
def test_what_still_expects_the_server_is_said(text: str, warning: str) -> None:
    warnings = placed(stack_of(text)).warnings
    assert any(warning in found for found in warnings), warnings


def test_options_of_the_old_server_that_go_are_told() -> None:
    [note] = placed(stack_of(app("U: postgresql://u@db/x?sslmode=require&sslcert=/c", POSTGRES))).notes
    assert note == (
        "compose.yaml:5:10 services.api.environment.U: U loses sslmode=require, sslcert, meant for the replaced "
        "server's encryption; other options stay."
    )


def test_a_link_to_the_server_is_another_name_of_it() -> None:
    stack = placed(stack_of(app("U: postgresql://u:p@database/x", "    links: ['db:database']\n" + POSTGRES)))
    assert list(stack.services) == ["api"]
    assert stack.services["api"].links == {}
    assert stack.services["api"].environment["U"] == f"postgresql://{LOGIN}"


@pytest.mark.parametrize(
    ("text", "scheme"),
    [
        (app("DATABASE_URL: postgresql+psycopg://u@db/x"), "postgresql+psycopg"),
        (app("DATABASE_URL: postgresql+pg8000://u@db/x"), "postgresql+pg8000"),
        (app("DATABASE_URL: postgresql://u@db/x"), "postgresql"),
        (app("DATABASE_URL: postgres://u@db/x"), "postgresql"),
        (app("DB: postgresql+asyncpg://u@db/x"), "postgresql+asyncpg"),
        (app("A: postgresql+psycopg2://u@db/x\n      DATABASE_URL: postgresql+asyncpg://u@db/x"), "postgresql+asyncpg"),
        (
            app("DATABASE_URL: postgresql://u@db/x", "x-preview: {database: {driver: psycopg2}}\n"),
            "postgresql+psycopg2",
        ),
        (app("A: jdbc:postgresql://db/x"), "postgresql+asyncpg"),
        (app("ALEMBIC_DATABASE_URL: postgresql://u@db/x"), "postgresql+asyncpg"),
        (app("DATABASE_URL: $DATABASE_URL"), "postgresql+asyncpg"),
        (app("A: b"), "postgresql+asyncpg"),
    ],
)
def test_the_form_that_the_file_asks_for(text: str, scheme: str) -> None:
    stack = stack_of(text, {"DATABASE_URL": OWN.url(Driver.PSYCOPG2)})
    assert forms(stack, {}).application.scheme == scheme


def test_a_form_says_where_it_was_found() -> None:
    found = forms(stack_of(app("DATABASE_URL: postgresql+psycopg://u@db/x")), {}).application
    assert found.why == "the file gives DATABASE_URL so"
    assert found.where is not None
    assert (found.where.file, found.where.line) == ("compose.yaml", 5)
