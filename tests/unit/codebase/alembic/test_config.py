"""Where revisions lie: by Alembic's configuration, by the preview block, or in the usual places."""

import pytest

from orchestrator.codebase.alembic.revisions import read_tree


def revision(name: str) -> bytes:
    return f'revision = "{name}"\ndown_revision = None\n'.encode()


@pytest.mark.parametrize(
    ("files", "folders"),
    [
        ({"alembic/versions/1.py": ""}, ("alembic/versions",)),
        ({"migrations/versions/1.py": ""}, ("migrations/versions",)),
        ({"src/app/alembic/versions/1.py": ""}, ("src/app/alembic/versions",)),
        ({"app/alembic/versions/1.py": "", "alembic/versions/1.py": ""}, ("alembic/versions",)),
        (
            {"alembic.ini": "[alembic]\nscript_location = db/scripts\n", "db/scripts/versions/1.py": ""},
            ("db/scripts/versions",),
        ),
        ({"alembic.ini": "[alembic]\nscript_location = %(here)s/db\n", "db/versions/1.py": ""}, ("db/versions",)),
        ({"api/alembic.ini": "[alembic]\nscript_location = db\n", "api/db/versions/1.py": ""}, ("api/db/versions",)),
        (
            {"api/alembic.ini": "[alembic]\nscript_location = %(here)s/db\n", "api/db/versions/1.py": ""},
            ("api/db/versions",),
        ),
        (
            {"alembic.ini": "[alembic]\nscript_location = app:db\n", "src/app/db/versions/1.py": ""},
            ("src/app/db/versions",),
        ),
        (
            {"alembic.ini": "[alembic]\nscript_location = app.core:db\n", "app/core/db/versions/1.py": ""},
            ("app/core/db/versions",),
        ),
        (
            {
                "alembic.ini": "[alembic]\nscript_location = db\nversion_locations = %(here)s/a %(here)s/b\n",
                "a/1.py": "",
                "b/2.py": "",
            },
            ("a", "b"),
        ),
        (
            {"alembic.ini": "[alembic]\nversion_locations = a:b\npath_separator = :\n", "a/1.py": "", "b/2.py": ""},
            ("a", "b"),
        ),
        (
            {
                "alembic.ini": "[alembic]\nversion_locations =\n  a\n  b\nversion_path_separator = newline\n",
                "a/1.py": "",
                "b/2.py": "",
            },
            ("a", "b"),
        ),
        (
            {"pyproject.toml": '[tool.alembic]\nscript_location = "%(here)s/db"\n', "db/versions/1.py": ""},
            ("db/versions",),
        ),
        ({"alembic.ini": "not ini", "alembic/versions/1.py": ""}, ("alembic/versions",)),
        ({"alembic.ini": "[alembic]\nscript_location = gone\n", "alembic/versions/1.py": ""}, ("alembic/versions",)),
        ({"alembic.ini": "[alembic]\nscript_location = ../up\n", "alembic/versions/1.py": ""}, ("alembic/versions",)),
    ],
)
def test_where_revisions_are(files: dict[str, str], folders: tuple[str, ...]) -> None:
    found = read_tree({path: text.encode() or revision(path) for path, text in files.items()})
    assert found is not None
    assert found.folders == folders
    assert len(found.migrations) == len(folders)


def test_the_preview_block_says_otherwise() -> None:
    files = {"alembic/versions/1.py": revision("1"), "other/2.py": revision("2"), "third/versions/3.py": revision("3")}
    for override, name in (("other", "2"), ("third", "3"), ("third/versions", "3"), ("alembic/versions", "1")):
        found = read_tree(files, override)
        assert found is not None
        assert list(found.migrations) == [name]


def test_subfolders_count_where_the_configuration_says_so() -> None:
    files = {"a/versions/1.py": revision("1"), "a/versions/old/2.py": revision("2")}
    for value, count in (("true", 2), ("false", 1)):
        ini = f"[alembic]\nscript_location = a\nrecursive_version_locations = {value}\n"
        found = read_tree({**files, "alembic.ini": ini.encode()})
        assert found is not None
        assert len(found.migrations) == count


def test_options_that_repeat_each_other_do_not_grow_without_end() -> None:
    config = "[alembic]\nwords = " + "a " * 16_000 + "\nversion_locations = " + "%(words)s" * 3_000
    files = {"alembic.ini": config.encode(), "db/versions/a.py": revision("1")}
    found = read_tree(files)
    assert found is not None
    assert found.folders == ("db/versions",)
