"""The usual faults are recognised in what applications print."""

import pytest

from orchestrator.codebase.alembic.revisions import read_tree
from orchestrator.reporting.remedies import remedy_for


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            'SettingsError: error parsing value for field "cors_origins" from source "EnvSettingsSource"',
            ("CORS_ORIGINS: json", "x-preview"),
        ),
        ("stripe_key\n  Field required [type=missing, input_value={}]", ("STRIPE_KEY",)),
        ('UndefinedTableError: relation "items" does not exist', ("items", "migrations")),
        ("ModuleNotFoundError: No module named 'psycopg'", ("psycopg", "x-preview.database.driver")),
        ("exec /code/bin/start.sh: exec format error", ("#!",)),
        ("INFO: Uvicorn running on http://127.0.0.1:8000 (Press CTRL+C to quit)", ("--host 0.0.0.0",)),
    ],
)
def test_a_known_fault_has_its_remedy(line: str, words: tuple[str, ...]) -> None:
    remedy = remedy_for(["INFO: starting", *line.split("\n")], None, 20)
    assert all(word in remedy for word in words), remedy


def test_an_unknown_fault_has_none() -> None:
    assert remedy_for(["Segmentation fault"], None, 20) == ""


HEADS = read_tree(
    {
        "alembic/versions/1.py": b"revision = '1'\ndown_revision = None",
        "alembic/versions/2.py": b"revision = '2'\ndown_revision = '1'",
        "alembic/versions/3.py": b"revision = '3'\ndown_revision = '1'",
    }
)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("FAILED: Multiple head revisions are present for given argument 'head'", ("alembic merge heads", "3.py")),
        ("FAILED: Can't locate revision identified by 'abc'", ("abc", "reset")),
        ('UndefinedTableError: relation "alembic_version" does not exist', ("alembic upgrade head",)),
        ('TooManyConnectionsError: too many connections for role "p_1_7"', ("(pool_size + max_overflow)", "20")),
        ("remaining connection slots are reserved for roles with the SUPERUSER attribute", ("PREVIEWD_CONNECTIONS",)),
    ],
)
def test_a_fault_with_the_database_names_what_it_is_about(line: str, words: tuple[str, ...]) -> None:
    remedy = remedy_for(["INFO", line], HEADS, 20)
    assert all(word in remedy for word in words), remedy
    assert remedy_for(["INFO"], HEADS, 20) == ""
