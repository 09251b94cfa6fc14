"""Postgres URLs: how each form is read, and the preview's own database in the same form."""

import configparser
import secrets
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from orchestrator.compose.database.urls import DatabaseUrls, masked, read_url

OWN = DatabaseUrls(host="own", port=5433, user="pv", password="p-w_d", database="pv_1")
LOGIN = "pv:p-w_d@own:5433/pv_1"


def own(value: str, *hosts: str) -> str | None:
    """The value for the preview's own database; None where it does not lead to `db` or one of `hosts`."""
    url = read_url(value)
    return url.of(OWN) if url is not None and url.leads_to(hosts or ("db",)) else None


@pytest.mark.parametrize(
    "scheme",
    ["postgres", "postgresql", "postgis", "pgsql", "psql", "asyncpg", "ecto", "r2dbc:postgresql"]
    + [f"postgresql+{driver}" for driver in ("asyncpg", "psycopg", "psycopg2", "psycopg_async", "pg8000", "aiopg")],
)
def test_every_scheme_stays(scheme: str) -> None:
    assert own(f"{scheme}://u:p@db:5432/x") == f"{scheme}://{LOGIN}"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("postgresql://db", f"postgresql://{LOGIN}"),
        ("postgresql://db/", f"postgresql://{LOGIN}"),
        (" postgresql://db/x\n", f"postgresql://{LOGIN}"),
        ("postgresql://u@DB:5432/x", f"postgresql://{LOGIN}"),
        ("postgresql://:@db:5432/", f"postgresql://{LOGIN}"),
        ("postgresql://u:p%40%2F%23@db/x", f"postgresql://{LOGIN}"),
        ("postgresql://u:p#a/b?c@db/x", f"postgresql://{LOGIN}"),
        ("postgresql://u:p@s@db/x", f"postgresql://{LOGIN}"),
        ("postgresql://u:p@%64%62/x", f"postgresql://{LOGIN}"),
        ("postgresql://u:p@db:/x", f"postgresql://{LOGIN}"),
        ("postgresql://u:p@db:5432,db:5433/x", f"postgresql://{LOGIN}"),
        (
            "postgresql://u:p@replica:1,db:2/x?target_session_attrs=any",
            f"postgresql://{LOGIN}?target_session_attrs=any",
        ),
        ("postgresql:///x?host=db&port=5432&user=u&password=p", f"postgresql://{LOGIN}"),
        ("postgresql+psycopg://u:p@/x?host=db:5432&host=db:5433", f"postgresql+psycopg://{LOGIN}"),
        (
            "postgresql://u:p@db/x?schema=public&connection_limit=5",
            f"postgresql://{LOGIN}?schema=public&connection_limit=5",
        ),
        ("postgresql://u:p@db/x?options=-csearch_path%3Da", f"postgresql://{LOGIN}?options=-csearch_path%3Da"),
        ("postgresql://u:p@db/x?sslmode=prefer", f"postgresql://{LOGIN}?sslmode=prefer"),
        ("postgresql://u:p@db/x?sslmode=require&a=b", f"postgresql://{LOGIN}?a=b"),
        ("postgresql://u:p@db/x?sslmode=verify-full&sslrootcert=/ca.pem", f"postgresql://{LOGIN}"),
        ("postgresql+asyncpg://u:p@db/x?ssl=true", f"postgresql+asyncpg://{LOGIN}"),
        ("postgresql+asyncpg://u:p@db/x?ssl=disable", f"postgresql+asyncpg://{LOGIN}?ssl=disable"),
        ("postgresql://u:p@db/x?channel_binding=require", f"postgresql://{LOGIN}"),
        ("jdbc:postgresql://db:5432/x", "jdbc:postgresql://own:5433/pv_1?user=pv&password=p-w_d"),
        ("jdbc:postgresql://db/x?user=u&password=p&a=b", "jdbc:postgresql://own:5433/pv_1?user=pv&password=p-w_d&a=b"),
        ("host=db port=5432 user=u password=p dbname=x", "host=own port=5433 user=pv password=p-w_d dbname=pv_1"),
        ("host=db dbname=x sslmode=disable", "host=own port=5433 user=pv password=p-w_d dbname=pv_1 sslmode=disable"),
        ("postgresql://u:p@other/x", None),
        ("postgresql://u:p@db.example.com/x", None),
        ("postgresql://db:p@other/db", None),
        ("postgresql:///x?host=/var/run/postgresql", None),
        ("postgresql://%2Fvar%2Frun/x", None),
        ("mysql://u:p@db/x", None),
        ("postgresqlx://u:p@db/x", None),
        ("use postgresql://u:p@db/x", None),
        ("host=db", None),
        ("a=b host=db c", None),
        ("", None),
    ],
)
def test_a_value_becomes_the_own_database_in_its_form(written: str, expected: str | None) -> None:
    assert own(written) == expected


def test_options_that_ask_for_a_certificate_are_told() -> None:
    url = read_url("postgresql://db/x?sslmode=require&sslcert=/c&a=b")
    assert url is not None
    assert url.demands == ("sslmode=require", "sslcert=/c")


@given(
    user=st.text(min_size=1, max_size=20).filter(lambda text: "\0" not in text),
    password=st.text(min_size=1, max_size=20),
    query=st.dictionaries(st.from_regex(r"[a-z]{4,8}x", fullmatch=True), st.from_regex(r"[\w.-]{0,8}", fullmatch=True)),
)
def test_whatever_the_login_is_parsers_read_it_back(user: str, password: str, query: dict[str, str]) -> None:
    urls = DatabaseUrls(host="own", port=1, user=user, password=password, database="d")
    text = "&".join(f"{key}={value}" for key, value in query.items())
    url = read_url(f"postgresql://a:b@db/c?{text}" if text else "postgresql://a:b@db/c")
    assert url is not None
    made = urlsplit(url.of(urls))
    assert (unquote(made.username or ""), unquote(made.password or "")) == (user, password)
    assert made.query == text
    again = read_url(url.of(urls))
    assert again is not None
    assert again.leads_to(["own"])
    assert again.of(urls) == url.of(urls)


@given(st.text(max_size=200))
def test_any_value_can_be_read(value: str) -> None:
    read_url(value)
    masked(value)


def test_our_passwords_trip_no_parser() -> None:
    """Alembic's ini file takes % for interpolation, and code formats and splits URLs as it likes."""
    for _ in range(200):
        password = secrets.token_urlsafe(32)
        url = DatabaseUrls(host="own", port=5432, user="pv_1", password=password, database="pv_1").url()
        assert set(url).isdisjoint("%$#?'\"\\ {}&+")
        assert url.count("@") == 1
        parser = configparser.ConfigParser()
        parser.read_dict({"alembic": {"sqlalchemy.url": url}})
        assert parser["alembic"]["sqlalchemy.url"] == url
        assert make_url(url).password == password


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("postgresql://u:p@h/d", "postgresql://u:•••@h/d"),
        ("jdbc:postgresql://h/d?user=u&password=p&a=b", "jdbc:postgresql://h/d?user=u&password=•••&a=b"),
        ("postgresql://u:p/a?s#s@h/d", "postgresql://u:•••@h/d"),
        ("host=h password=p dbname=d", "host=h password=••• dbname=d"),
    ],
)
def test_passwords_are_hidden_in_every_form(text: str, hidden: str) -> None:
    assert masked(text) == hidden
