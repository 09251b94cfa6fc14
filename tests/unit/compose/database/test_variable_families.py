"""Variables that name the server in parts: which belong together, and what is added to them."""

import pytest

from orchestrator.compose.database import DatabaseUrls, placement, rewrite
from orchestrator.compose.model import Service, Stack
from tests.unit.compose.support import stack_of

OWN = DatabaseUrls(host="own", port=5433, user="pv", password="secret", database="pv_1")
COMPLETE = {"HOST": "own", "PORT": "5433", "USER": "pv", "PASSWORD": "secret"}


def stack_with(environment: str, more: str = "", image: str = "build: .") -> Stack:
    pairs = "".join(f"\n      {pair}" for pair in environment.split("; "))
    text = f"services:\n  api:\n    {image}\n    environment:{pairs}\n{more}  db:\n    image: postgres:16\n"
    stack = stack_of(text)
    return rewrite(stack, OWN, placement(stack, {}, None))


def environment(written: str, more: str = "", image: str = "build: .") -> dict[str, str]:
    return dict(stack_with(written, more, image).services["api"].environment)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (
            "POSTGRES_SERVER: db; POSTGRES_PORT: 5432; POSTGRES_USER: u; POSTGRES_PASSWORD: p; POSTGRES_DB: x",
            {"POSTGRES_SERVER": "own", "POSTGRES_PORT": "5433", "POSTGRES_USER": "pv"}
            | {"POSTGRES_PASSWORD": "secret", "POSTGRES_DB": "pv_1"},
        ),
        (
            "PGHOST: db; PGPORT: 5432; PGUSER: u; PGPASSWORD: p; PGDATABASE: x",
            {"PGHOST": "own", "PGPORT": "5433", "PGUSER": "pv", "PGPASSWORD": "secret", "PGDATABASE": "pv_1"},
        ),
        (
            "DB_HOST: db; DB_PORT: 5432; DB_USER: u; DB_PASS: p; DB_NAME: x; DB_ENGINE: e",
            {"DB_HOST": "own", "DB_PORT": "5433", "DB_USER": "pv", "DB_PASS": "secret", "DB_NAME": "pv_1"}
            | {"DB_ENGINE": "e"},
        ),
        (
            "DATABASE_HOST: db; DATABASE_USERNAME: u; DATABASE_PASSWORD: p; DATABASE_NAME: x",
            {"DATABASE_HOST": "own", "DATABASE_PORT": "5433", "DATABASE_USERNAME": "pv"}
            | {"DATABASE_PASSWORD": "secret", "DATABASE_NAME": "pv_1"},
        ),
        (
            "APP_DB_HOST: db; APP_DB_USER: u; APP_DB_PASSWORD: p; APP_DB_NAME: x; APP_NAME: keep",
            {"APP_DB_HOST": "own", "APP_DB_PORT": "5433", "APP_DB_USER": "pv", "APP_DB_PASSWORD": "secret"}
            | {"APP_DB_NAME": "pv_1", "APP_NAME": "keep"},
        ),
        (
            "DJANGO_DB__HOST: db; DJANGO_DB__USER: u; DJANGO_DB__PASSWORD: p; DJANGO_DB__NAME: x",
            {"DJANGO_DB__HOST": "own", "DJANGO_DB__PORT": "5433", "DJANGO_DB__USER": "pv"}
            | {"DJANGO_DB__PASSWORD": "secret", "DJANGO_DB__NAME": "pv_1"},
        ),
        (
            "db_host: db; db_user: u; db_password: p; db_name: x",
            {"db_host": "own", "db_port": "5433", "db_user": "pv", "db_password": "secret", "db_name": "pv_1"},
        ),
        (
            "SQL_HOST: db; SQL_USER: u; SQL_PASSWORD: p; SQL_DATABASE: x; SQL_PORT: 5432",
            {"SQL_HOST": "own", "SQL_PORT": "5433", "SQL_USER": "pv", "SQL_PASSWORD": "secret", "SQL_DATABASE": "pv_1"},
        ),
        (
            "RDS_HOSTNAME: db; RDS_USERNAME: u; RDS_PASSWORD: p; RDS_DB_NAME: x; RDS_PORT: 5432",
            {"RDS_HOSTNAME": "own", "RDS_USERNAME": "pv", "RDS_PASSWORD": "secret", "RDS_DB_NAME": "pv_1"}
            | {"RDS_PORT": "5433"},
        ),
        ("GF_DATABASE_HOST: 'db:5432'; GF_DATABASE_PASSWORD: p", {"GF_DATABASE_HOST": "own:5433"}),
        (
            "DB_HOST: db; POSTGRES_USER: u; POSTGRES_PASSWORD: p; POSTGRES_DB: x",
            {"DB_HOST": "own", "DB_PORT": "5433", "POSTGRES_USER": "pv", "POSTGRES_PASSWORD": "secret"}
            | {"POSTGRES_DB": "pv_1"},
        ),
        (
            "PGHOST: db",
            {"PGHOST": "own", "PGPORT": "5433", "PGUSER": "pv", "PGPASSWORD": "secret", "PGDATABASE": "pv_1"},
        ),
        (
            "MAIN_HOST: db; MAIN_USER: u; MAIN_PASSWORD: p",
            {"MAIN_HOST": "own", "MAIN_USER": "pv", "MAIN_PASSWORD": "secret", "MAIN_PORT": "5433"},
        ),
        ("DB_HOST_READONLY: db; DB_PASSWORD: p; DB_USER: u", {"DB_HOST_READONLY": "own", "DB_PASSWORD": "secret"}),
    ],
)
def test_all_members_of_a_family_lead_to_the_own_database(written: str, expected: dict[str, str]) -> None:
    found = environment(written)
    assert {name: found.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("written", "unchanged"),
    [
        ("DB_HOST: other; DB_USER: u; DB_PASSWORD: p; PGHOST: db", "DB_PASSWORD"),
        ("DB_HOST: localhost; DB_PASSWORD: p; PGHOST: db", "DB_HOST"),
        ("MYSQL_USER: u; MYSQL_PASSWORD: p; DB_HOST: db", "MYSQL_PASSWORD"),
        ("REDIS_PASSWORD: p; REDIS_HOST: cache; DB_HOST: db", "REDIS_PASSWORD"),
        ("HOST: db; PORT: 8000; PGHOST: db", "PORT"),
        ("APP_HOST: db; PGHOST: db", "APP_HOST"),
        ("POSTGRES_HOST_AUTH_METHOD: trust; PGHOST: db", "POSTGRES_HOST_AUTH_METHOD"),
        ("SMTP_PASSWORD: p; SMTP_USER: u; PGHOST: db", "SMTP_PASSWORD"),
    ],
)
def test_what_is_of_no_such_family_stays(written: str, unchanged: str) -> None:
    values = dict(pair.split(": ", 1) for pair in written.split("; "))
    assert environment(written)[unchanged] == values[unchanged]


def test_a_login_without_a_host_is_ours_where_the_service_needs_the_server() -> None:
    written = "POSTGRES_USER: u; POSTGRES_PASSWORD: p; POSTGRES_DB: x"
    found = environment(written, "    depends_on: [db]\n")
    assert found == {"POSTGRES_USER": "pv", "POSTGRES_PASSWORD": "secret", "POSTGRES_DB": "pv_1"}
    assert environment(written)["POSTGRES_PASSWORD"] == "p"


@pytest.mark.parametrize("prefix", ["MONGO_DB_", "MARIADB_", "MYSQL_", "INFLUXDB_", "SMTP_", "ADMIN_"])
def test_a_login_of_another_kind_of_server_is_not_ours(prefix: str) -> None:
    written = f"{prefix}USER: u; {prefix}PASSWORD: p; U: postgresql://u@db/x"
    found = environment(written, "    depends_on: [db]\n")
    assert (found[f"{prefix}USER"], found[f"{prefix}PASSWORD"]) == ("u", "p")


def test_members_that_have_a_place_warn_no_more() -> None:
    assert stack_with("DB_HOST: db; DB_USER: u; DB_PASSWORD: p; DB_NAME: x").warnings == ()


def test_nothing_but_the_port_is_added_to_images_of_others() -> None:
    found = environment("POSTGRES_HOST: db", image="image: metabase/metabase")
    assert found == {"POSTGRES_HOST": "own"}


def test_user_and_password_beside_a_jdbc_url() -> None:
    written = "SPRING_DATASOURCE_URL: 'jdbc:postgresql://db:5432/x'; SPRING_DATASOURCE_USERNAME: u"
    found = environment(f"{written}; SPRING_DATASOURCE_PASSWORD: p")
    assert found["SPRING_DATASOURCE_URL"] == "jdbc:postgresql://own:5433/pv_1"
    assert (found["SPRING_DATASOURCE_USERNAME"], found["SPRING_DATASOURCE_PASSWORD"]) == ("pv", "secret")


SECRETS = """
services:
  api:
    build: .
    depends_on: [db]
    environment: {POSTGRES_HOST: db, POSTGRES_USER: u, POSTGRES_PASSWORD_FILE: /run/secrets/db_password}
    secrets: [db_password, other, url]
  reader:
    build: .
    secrets: [db_password]
  db:
    image: postgres:16
    environment: {POSTGRES_PASSWORD_FILE: /run/secrets/db_password, POSTGRES_USER: u}
    secrets: [db_password]
secrets:
  db_password: {file: password.txt}
  other: {file: other.txt}
  url: {environment: URL}
"""


def granted(service: Service) -> dict[str, tuple[str | None, str | None]]:
    return {file.name: (file.path, file.content) for file in service.secrets}


def test_secrets_that_hold_the_password_or_a_url_hold_ours() -> None:
    files = {"password__txt": "old", "other__txt": "keep"}
    stack = stack_of(SECRETS, {"URL": "postgresql+asyncpg://u:p@db/x"}, **files)
    placed = rewrite(stack, OWN, placement(stack, {}, None))
    assert granted(placed.services["api"]) == {
        "db_password": (None, "secret"),
        "other": ("other.txt", None),
        "url": (None, "postgresql+asyncpg://pv:secret@own:5433/pv_1"),
    }
    assert granted(placed.services["reader"]) == {"db_password": (None, "secret")}
    environment = placed.services["api"].environment
    assert environment["POSTGRES_PASSWORD_FILE"] == "/run/secrets/db_password"
    assert "POSTGRES_PASSWORD" not in environment


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("['migrate', 'postgresql://u:p@db/x']", ("migrate", "postgresql://pv:secret@own:5433/pv_1")),
        ("['run', '--database-url=postgres://u@db/x']", ("run", "--database-url=postgres://pv:secret@own:5433/pv_1")),
        ("['run', '--url', 'postgres://u@other/x']", ("run", "--url", "postgres://u@other/x")),
    ],
)
def test_a_url_that_is_an_argument(command: str, expected: tuple[str, ...]) -> None:
    stack = stack_with("PGHOST: db", f"    command: {command}\n")
    assert stack.services["api"].command == expected
