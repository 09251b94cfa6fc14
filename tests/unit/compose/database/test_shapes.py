"""The two shapes that FastAPI applications have, and others, from repository to environment: without configuration."""

import pytest

from orchestrator.compose.database import DatabaseUrls
from orchestrator.compose.inject import Facts
from orchestrator.compose.prepare import Prepared, prepare
from tests.support import apps

OWN = DatabaseUrls(host="own", port=5433, user="pv", password="secret", database="pv_1")
LOGIN = "pv:secret@own:5433/pv_1"
HOST = "pr-7-app.previews.test"
FACTS = Facts(
    host=HOST, url=f"https://{HOST}", pull=7, repository="o/app", branch="topic", commit="c" * 40, database=OWN
)


def prepared(files: dict[str, bytes]) -> Prepared:
    return prepare(files, "compose.yaml", FACTS)


def urls(found: Prepared) -> tuple[str, str]:
    environment = found.stack.services["api"].environment
    return environment["DATABASE_URL"], environment["ALEMBIC_DATABASE_URL"]


@pytest.mark.parametrize("with_server", [True, False])
def test_two_urls(with_server: bool) -> None:
    found = prepared(apps.two_urls(with_server=with_server))
    assert urls(found) == (f"postgresql+asyncpg://{LOGIN}", f"postgresql://{LOGIN}")
    assert list(found.stack.services) == ["api"]
    assert found.stack.warnings == ()


@pytest.mark.parametrize("with_server", [True, False])
def test_one_url_that_the_code_turns(with_server: bool) -> None:
    found = prepared(apps.one_url(with_server=with_server))
    assert urls(found)[0] == f"postgresql://{LOGIN}"
    assert list(found.stack.services) == ["api"]
    if not with_server:
        assert found.forms.application.why == "the code turns it into +asyncpg itself"
        assert str(found.forms.application.where) == "app/database.py:7"


def test_variables_in_parts() -> None:
    found = prepared(apps.parts())
    environment = found.stack.services["api"].environment
    parts = {name: value for name, value in environment.items() if name.startswith("POSTGRES_")}
    assert parts == {
        "POSTGRES_SERVER": "own",
        "POSTGRES_PORT": "5433",
        "POSTGRES_USER": "pv",
        "POSTGRES_PASSWORD": "secret",
        "POSTGRES_DB": "pv_1",
    }
    assert list(found.stack.services) == ["api"]


def test_an_application_that_is_synchronous() -> None:
    found = prepared(apps.synchronous())
    assert urls(found) == (f"postgresql+psycopg2://{LOGIN}", f"postgresql+psycopg2://{LOGIN}")
    assert str(found.forms.application.where) == "app/database.py:5"
    assert str(found.forms.alembic.where) == "requirements.txt:2"


def test_x_preview_decides_over_all() -> None:
    files = apps.one_url(with_server=True)
    files["compose.yaml"] += b"x-preview: {database: {driver: psycopg}}\n"
    assert prepared(files).forms.application.scheme == "postgresql+psycopg"


def test_what_was_rewritten_is_recorded_without_passwords() -> None:
    files = apps.parts()
    files["compose.yaml"] = files["compose.yaml"].replace(
        b"POSTGRES_PORT: 5432", b"OTHER_URL: 'postgresql+psycopg://me:mine@db:5432/app?a=b'"
    )
    found = {each.variable: each for each in prepared(files).rewrites}
    url = found["OTHER_URL"]
    assert (url.service, url.place.file, url.place.line) == ("api", "compose.yaml", 7)
    assert url.before == "postgresql+psycopg://me:•••@db:5432/app?a=b"
    assert url.after == "postgresql+psycopg://pv:•••@own:5433/pv_1?a=b"
    assert (found["POSTGRES_SERVER"].before, found["POSTGRES_SERVER"].after) == ("db", "own")
    assert (found["POSTGRES_PASSWORD"].before, found["POSTGRES_PASSWORD"].after) == ("•••", "•••")
    assert (found["POSTGRES_PORT"].before, found["POSTGRES_PORT"].after) == (None, "5433")
    assert (found["DATABASE_URL"].before, found["DATABASE_URL"].after) == (
        None,
        "postgresql+asyncpg://pv:•••@own:5433/pv_1",
    )
    shown = "".join(f"{each.before}{each.after}" for each in found.values())
    assert "secret" not in shown
    assert "mine" not in shown
