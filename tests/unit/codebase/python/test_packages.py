"""Which drivers a repository's lists and locks of packages name, and what a synchronous URL is then."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.codebase.python.packages import (
    MAX_PACKAGES,
    Package,
    Packages,
    installed_packages,
    read_packages,
)
from orchestrator.preview.errors import AuthorError, Place


def packages(name: str, text: str) -> Packages:
    files = {name: text.encode()}
    return read_packages(files, files)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("requirements.txt", "psycopg2-binary==2.9.10\n"),
        ("requirements.txt", "# c\n-r base.txt\nPsycopg2_Binary >= 2.9 ; python_version > '3'  # why\n"),
        ("requirements/prod.txt", "psycopg2==2.9.10 \\\n    --hash=sha256:aa\n"),
        ("backend/requirements-dev.in", "psycopg2\n"),
        ("requirements.txt", "sqlalchemy[postgresql_psycopg2binary]>=2\n"),
        ("pyproject.toml", '[project]\ndependencies = ["psycopg2-binary>=2.9"]\n'),
        ("pyproject.toml", '[project.optional-dependencies]\ndb = ["psycopg2"]\n'),
        ("pyproject.toml", '[dependency-groups]\nmigrations = [{include-group = "x"}, "psycopg2"]\n'),
        ("pyproject.toml", '[tool.poetry.dependencies]\npsycopg2-binary = "^2.9"\n'),
        ("pyproject.toml", '[tool.poetry.group.db.dependencies]\npsycopg2 = {version = "*", extras = ["x"]}\n'),
        ("Pipfile", '[packages]\npsycopg2-binary = "*"\n'),
        ("Pipfile.lock", '{"default": {"psycopg2-binary": {"version": "==2.9.10"}}}'),
        ("uv.lock", '[[package]]\nname = "psycopg2-binary"\nversion = "2.9.10"\n'),
        ("poetry.lock", '[[package]]\nname = "psycopg2"\nversion = "2.9.10"\ndescription = ""\n'),
    ],
)
def test_every_list_of_packages_is_read(name: str, text: str) -> None:
    found = packages(name, text)
    assert found.sync_driver == "psycopg2"
    package = found.named[found.drivers["psycopg2"]]
    assert package.place.file == name
    assert package.place.line >= 1


@pytest.mark.parametrize(
    ("text", "sync", "asynchronous"),
    [
        ("psycopg2-binary\nsqlalchemy==2.0.58", "postgresql", "postgresql+asyncpg"),
        ("psycopg2-binary\nsqlalchemy>=2.0,<2.1", "postgresql", "postgresql+asyncpg"),
        ("psycopg2-binary\nsqlalchemy~=2.0.30", "postgresql", "postgresql+asyncpg"),
        ("psycopg2-binary\nsqlalchemy==1.4.54", "postgresql", "postgresql+asyncpg"),
        ("psycopg2-binary\nsqlalchemy", "postgresql+psycopg2", "postgresql+asyncpg"),
        ("psycopg2-binary\nsqlalchemy>=2.0", "postgresql+psycopg2", "postgresql+asyncpg"),
        ("psycopg2-binary\nsqlalchemy==2.1.9", "postgresql+psycopg2", "postgresql+asyncpg"),
        ("psycopg[binary]\nsqlalchemy==2.1.9", "postgresql", "postgresql+psycopg"),
        ("psycopg[binary]\nsqlalchemy>=2.1", "postgresql", "postgresql+psycopg"),
        ("psycopg[binary]\nsqlalchemy==2.0.58", "postgresql+psycopg", "postgresql+psycopg"),
        ("psycopg[binary]\nasyncpg\nsqlalchemy", "postgresql+psycopg", "postgresql+asyncpg"),
        ("psycopg\npsycopg2\nsqlalchemy==2.1.0", "postgresql", "postgresql+psycopg"),
        ("psycopg\npsycopg2\nsqlalchemy==2.0.1", "postgresql", "postgresql+psycopg"),
        ("psycopg\npsycopg2\nsqlalchemy", "postgresql", "postgresql+psycopg"),
        ("pg8000\nsqlalchemy", "postgresql+pg8000", "postgresql+asyncpg"),
        ("sqlalchemy[postgresql-pg8000]", "postgresql+pg8000", "postgresql+asyncpg"),
        ("psycopg2cffi\nsqlalchemy", "postgresql+psycopg2cffi", "postgresql+asyncpg"),
        ("psycopg2\nsqlalchemy (>=2.0,<2.1)", "postgresql", "postgresql+asyncpg"),
        ("psycopg2\nsqlalchemy==2.0.1 --hash=sha256:aa", "postgresql", "postgresql+asyncpg"),
        ("psycopg2\nalembic\nsqlalchemy<2.1", "postgresql", "postgresql+asyncpg"),
        ("asyncpg\nsqlalchemy", "postgresql", "postgresql+asyncpg"),
        ("flask", "postgresql", "postgresql+asyncpg"),
    ],
)
def test_the_schemes_that_there_is_a_driver_for(text: str, sync: str, asynchronous: str) -> None:
    found = packages("requirements.txt", text)
    assert (found.sync_scheme, found.async_scheme) == (sync, asynchronous)


PROJECT = b"""[project]
dependencies = ["psycopg[binary]", "sqlalchemy"]
[dependency-groups]
dev = ["asyncpg", "psycopg2"]
"""


def test_what_only_development_needs_is_no_driver_of_the_application() -> None:
    found = read_packages({"pyproject.toml": PROJECT}, ["pyproject.toml"])
    assert (found.driver, found.sync_scheme, found.async_scheme) == ("psycopg",) + ("postgresql+psycopg",) * 2
    assert {"asyncpg", "psycopg2"} < found.names, "named they are"
    assert installed_packages({"pyproject.toml": PROJECT}, ["pyproject.toml"]).names == {
        "psycopg",
        "psycopg[binary]",
        "sqlalchemy",
    }


def test_where_the_application_needs_none_development_tells() -> None:
    project = PROJECT.replace(b'"psycopg[binary]", ', b"")
    assert read_packages({"pyproject.toml": project}, ["pyproject.toml"]).driver == "asyncpg"
    assert installed_packages({"pyproject.toml": project}, ["pyproject.toml"]).driver is None


def test_the_line_is_the_one_that_names_it() -> None:
    text = '[project]\ndependencies = [\n  "psycopg2-binary",  # psycopg\n  "Psycopg[c]>=3",\n]\n'
    assert packages("pyproject.toml", text).named["psycopg"].place.line == 4
    assert packages("requirements.txt", "psycopg2\n\npsycopg\n").named["psycopg"].place.line == 3


def test_what_comes_with_a_package_stands_on_its_line() -> None:
    found = packages("requirements.txt", "flask\ndatabases[aiopg]>=0.9\n")
    assert found.named["psycopg2-binary"] == Package(place=Place(file="requirements.txt", line=2))
    assert (found.driver, found.database) == ("psycopg2", "Postgres by psycopg2-binary")


@pytest.mark.parametrize(
    ("path", "text", "message", "remedy"),
    [
        ("pyproject.toml", "[project", "pyproject.toml cannot be read: ", "correct it"),
        ("uv.lock", "[[package", "uv.lock cannot be read: ", "run `uv lock`"),
        ("Pipfile.lock", "{", "Pipfile.lock cannot be read: it is not JSON", "run `pipenv lock`"),
    ],
)
def test_what_is_installed_must_be_readable(path: str, text: str, message: str, remedy: str) -> None:
    files = {path: text.encode()}
    with pytest.raises(AuthorError) as error:
        installed_packages(files, files)
    assert error.value.message.startswith(message)
    assert error.value.remedy == remedy
    assert read_packages(files, files).named == {}


def test_a_lock_tells_more_exactly_than_a_list() -> None:
    files = {
        "pyproject.toml": b'[project]\ndependencies = ["sqlalchemy>=2", "psycopg"]\n',
        "uv.lock": b'[[package]]\nname = "sqlalchemy"\nversion = "2.1.3"\n',
    }
    assert read_packages(files, files).sync_scheme == "postgresql"


@given(
    name=st.sampled_from(["requirements.txt", "pyproject.toml", "uv.lock", "Pipfile.lock", "Pipfile"]),
    content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)),
)
def test_whatever_a_list_holds_it_is_read(name: str, content: bytes) -> None:
    read_packages({name: content}, [name])


def test_a_version_of_thousands_of_digits_is_none() -> None:
    files = {"requirements.txt": b"psycopg2\nsqlalchemy==" + b"1" * 5_000 + b".1\n"}
    assert read_packages(files, files).sync_scheme == "postgresql+psycopg2"


@pytest.mark.parametrize(
    "toml",
    [b"a" + b".a" * 400_000 + b" = 1", (b"a" + b".a" * 4_000 + b" = 1\n") * 100, b"a = " + b"[" * 8_000],
    ids=["one key of a megabyte", "many long keys", "nested"],
)
def test_toml_that_takes_the_library_for_ever_names_no_package(toml: bytes) -> None:
    files = {"pyproject.toml": toml, "requirements.txt": b"asyncpg"}
    assert set(read_packages(files, files).named) == {"asyncpg"}


def test_a_list_of_more_packages_than_anybody_has_is_read_in_part() -> None:
    files = {"requirements.txt": b"asyncpg\n" + b"".join(b"p%d\n" % number for number in range(100_000))}
    assert len(read_packages(files, files).named) == MAX_PACKAGES
