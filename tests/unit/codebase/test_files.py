"""Which files of a repository are read, by their paths."""

from orchestrator.codebase.files import (
    MAX_CODE_FILES,
    MAX_MIGRATIONS,
    below,
    config_files,
    dependency_files,
    example_files,
    migration_files,
    python_files,
    serving_modules,
)


def test_tests_and_packages_of_others_are_not_read() -> None:
    paths = ["tests/db.py", "app/test_db.py", "conftest.py", ".venv/lib/db.py", "node_modules/x/db.py", "app/x.py"]
    assert python_files(paths) == ["app/x.py"]


def test_what_is_read_has_an_end() -> None:
    many = [f"app/m{number}.py" for number in range(1000)]
    found = python_files([*many, "deep/down/in/database.py"])
    assert len(found) == MAX_CODE_FILES
    assert found[0] == "deep/down/in/database.py"


def test_code_is_read_where_it_is_built() -> None:
    paths = ["api/db.py", "web/db.py", "compose.yaml"]
    assert below(paths, ["api"]) == ["api/db.py"]
    assert below(paths, [".", "api"]) == paths
    assert below(paths, ["nowhere"]) == paths


def test_all_that_is_read_together_is_known_by_paths_alone() -> None:
    paths = ["app/db.py", "alembic/versions/1.py", "alembic.ini", ".env.example", "uv.lock", "README.md", "tests/a.py"]
    kinds = (python_files, migration_files, config_files, example_files, dependency_files)
    found = [path for kind in kinds for path in kind(paths)]
    assert found == ["app/db.py", "alembic/versions/1.py", "alembic.ini", ".env.example", "uv.lock"]


def test_lists_near_the_root_come_first() -> None:
    paths = [
        "api/uv.lock",
        "requirements/prod.in",
        "pyproject.toml",
        "tests/requirements.txt",
        "docs/setup.cfg",
        "x.lock",
    ]
    assert dependency_files([*paths, "requirements-dev.txt"]) == [
        "pyproject.toml",
        "requirements-dev.txt",
        "api/uv.lock",
        "requirements/prod.in",
    ]
    assert len(dependency_files(f"s{number}/Pipfile" for number in range(100))) == 20


def test_the_newest_migrations_are_read() -> None:
    many = [f"alembic/versions/{number:05}.py" for number in range(MAX_MIGRATIONS + 5)]
    assert migration_files([*many, "db/migrations/1.sql", "app/models.py"])[-2:] == [many[-1], "db/migrations/1.sql"]
    assert len(migration_files(many)) == MAX_MIGRATIONS


def test_what_may_be_served_can_be_imported() -> None:
    paths = ["b/main.py", "main.py", "2fa/main.py", "my-app/main.py", "x-y.py", ".hidden/main.py", "scripts/main.py"]
    assert serving_modules([*paths, "app/test_x.py", "conftest.py", "setup.py", "manage.py", "app.js"]) == [
        "main.py",
        "b/main.py",
    ]
