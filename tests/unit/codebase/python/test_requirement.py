"""One grammar for a requirement, whatever file it stands in."""

import pytest

from orchestrator.codebase.python.requirement import Requirement, named_lines, normal, of_table, requirement


@pytest.mark.parametrize(
    ("text", "name", "extras", "version"),
    [
        ("asyncpg", "asyncpg", (), ""),
        ("  Flask_SQLAlchemy >= 3 ; python_version > '3'  # why", "flask-sqlalchemy", (), ">= 3"),
        (
            "sqlalchemy[asyncio, postgresql_asyncpg]~=2.0.30",
            "sqlalchemy",
            ("asyncio", "postgresql-asyncpg"),
            "~=2.0.30",
        ),
        ("sqlalchemy (>=2.0,<2.1)", "sqlalchemy", (), ">=2.0,<2.1"),
        ("x==1.0 \\", "x", (), "==1.0"),
        ("x==1.0 --hash=sha256:aa", "x", (), "==1.0"),
        ("x @ git+https://example.com/x.git@v2.0", "x", (), ""),
        ("zope.interface", "zope-interface", (), ""),
        ("x[", "x", (), "["),
    ],
)
def test_a_requirement(text: str, name: str, extras: tuple[str, ...], version: str) -> None:
    assert requirement(text) == Requirement(name=name, extras=extras, version=version)


@pytest.mark.parametrize("text", ["", "# asyncpg", "-r base.txt", "--hash=sha256:aa", "./libs/shop", "[options]"])
def test_what_names_no_package(text: str) -> None:
    assert requirement(text) is None


def test_a_table_by_name() -> None:
    table = {
        "Asyncpg": "^0.29",
        "psycopg": {"version": "*", "extras": ["binary"]},
        "shop": {"path": "../shop", "optional": True},
        "odd": [{"version": "1"}, {"version": "2"}],
        "": "1",
    }
    assert list(of_table(table, {"asyncpg": 3})) == [
        Requirement(name="asyncpg", version="^0.29", line=3),
        Requirement(name="psycopg", version="*", extras=("binary",)),
        Requirement(name="shop", is_main=False),
        Requirement(name="odd"),
    ]


def test_names_are_compared_in_one_form() -> None:
    assert {normal(name) for name in ("Psycopg2-Binary", "psycopg2_binary", "psycopg2.-binary ")} == {"psycopg2-binary"}


def test_the_first_line_of_a_name_comments_left_out() -> None:
    assert named_lines('# psycopg\n"psycopg2"\nPsycopg = "*"\npsycopg = 1')["psycopg"] == 3
