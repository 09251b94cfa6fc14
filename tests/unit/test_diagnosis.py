"""The usual faults are recognised in what applications print."""

import pytest

from orchestrator.diagnosis import remedy_for


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
    remedy = remedy_for(["INFO: starting", *line.split("\n")])
    assert all(word in remedy for word in words), remedy


def test_an_unknown_fault_has_none() -> None:
    assert remedy_for(["Segmentation fault"]) == ""
