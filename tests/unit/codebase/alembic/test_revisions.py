"""A repository's Alembic revisions: found where Alembic finds them, and compared with what a database has had."""

from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.codebase.alembic.revisions import (
    MigrationTree,
    applied,
    diagnose,
    drift,
    heads,
    is_known,
    read_tree,
    recorded,
)
from orchestrator.codebase.files import MAX_MIGRATIONS

VERSIONS = "alembic/versions"


def revision(name: str, down: str = "None", more: str = "") -> bytes:
    return f'"""Make {name}."""\n\nrevision = "{name}"\ndown_revision = {down}\n{more}'.encode()


def tree(**files: bytes) -> MigrationTree:
    found = read_tree({f"{VERSIONS}/{name}.py": content for name, content in files.items()})
    assert found is not None
    return found


LINE = {"a": revision("1"), "b": revision("2", '"1"'), "c": revision("3", '"2"')}


def test_revisions_are_read_without_being_run() -> None:
    found = tree(
        a=b'revision: str = "1"\ndown_revision: str | None = None\nbranch_labels = ("main",)\nraise SystemExit\n',
        b=revision("2", '("1", "0")', 'depends_on = ["9"]\n'),
    )
    assert (found.migrations["1"].down, found.migrations["1"].labels) == ((), ("main",))
    assert (found.migrations["2"].down, found.migrations["2"].needs) == (("1", "0"), ("9",))
    assert str(found.migrations["2"].place) == "alembic/versions/b.py:4"


@pytest.mark.parametrize("files", [{}, {"app/main.py": b""}, {"app/migrations/0001_initial.py": b""}])
def test_a_repository_without_alembic_has_no_tree(files: dict[str, bytes]) -> None:
    assert read_tree(files) is None


def test_of_too_many_revisions_none_is_taken_for_broken() -> None:
    assert read_tree({f"{VERSIONS}/{number}.py": revision(str(number)) for number in range(MAX_MIGRATIONS + 1)}) is None


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (LINE, ["3"]),
        ({**LINE, "d": revision("4", '"2"')}, ["3", "4"]),
        ({**LINE, "d": revision("4", '"2"'), "e": revision("5", '("3", "4")')}, ["5"]),
    ],
)
def test_heads(files: dict[str, bytes], names: list[str]) -> None:
    found = tree(**files)
    assert [head.id for head in heads(found)] == names
    assert [is_known(found, name) for name in ("1", "9")] == [True, False]


@pytest.mark.parametrize(
    ("files", "message", "remedy"),
    [
        (
            {**LINE, "d": revision("4", '"2"')},
            "there are 2 heads, and `upgrade head` takes one: 3 (alembic/versions/c.py), 4 (alembic/versions/d.py)",
            "alembic merge heads",
        ),
        ({"b": revision("2", '"1"')}, "it comes after the revision 1, which no file has", "Add the file of 1"),
        ({"b": revision("2", "None", 'depends_on = "7"\n')}, "the revision 7, which no file has", "Add the file of 7"),
        (
            {"a": revision("1"), "b": revision("1")},
            "the revision 1 is also the one of alembic/versions/a.py",
            "another id",
        ),
        (
            {"a": revision("1", '"2"'), "b": revision("2", '"1"')},
            "in a circle: 1 (alembic/versions/a.py), 2 (alembic/versions/b.py)",
            "Correct `down_revision`",
        ),
        ({"a": revision("1", '"1"')}, "in a circle: 1", "Correct `down_revision`"),
        ({"a": b"revision = ("}, "not valid Python", "Alembic loads every file"),
        ({"a": b"x = 1"}, "names no revision", "Write revision"),
        ({"a": b"revision = make()"}, "`revision` is no string", "Write revision"),
        ({"a": revision("1", "[1]")}, "`down_revision` is no string", "Write down_revision"),
        ({"a": b"revision = " + b"-" * 20_000 + b"1"}, "cannot be parsed", "Correct it"),
        ({"a": b"#" * 300_000}, "larger than", "Move data"),
    ],
)
def test_what_stands_in_the_way_is_named_with_its_remedy(files: dict[str, bytes], message: str, remedy: str) -> None:
    [fault] = diagnose(tree(**files))
    assert message in fault.message
    assert remedy in fault.remedy
    assert fault.place.file.startswith(VERSIONS)


def test_a_sound_tree_has_no_fault() -> None:
    labelled = {"x": revision("9", "None", 'branch_labels = "other"\n'), "y": revision("8", '"9"')}
    assert diagnose(tree(**LINE)) == ()
    assert [fault.message[:15] for fault in diagnose(tree(**LINE, **labelled))] == ["there are 2 hea"]


def test_what_a_database_has_had() -> None:
    side = {"d": revision("4", '"1"'), "e": revision("5", '"4"', 'depends_on = "2"\n')}
    found = tree(**LINE, **side)
    assert [each.id for each in applied(found, ["3"])] == ["1", "2", "3"]
    assert [each.id for each in applied(found, ["5"])] == ["1", "2", "4", "5"]
    assert applied(found, ["gone"]) == ()


@pytest.mark.parametrize(
    ("files", "changed", "removed"),
    [
        (LINE, (), ()),
        ({**LINE, "d": revision("4", '"3"')}, (), ()),
        ({**LINE, "b": revision("2", '"1"', "x = 1\n")}, ("alembic/versions/b.py",), ()),
        ({**LINE, "b": LINE["b"].replace(b"\n", b"\r\n")}, (), ()),
        ({**LINE, "c": revision("3", '"2"', "x = 1\n")}, (), ()),
        ({"a": LINE["a"]}, (), ("alembic/versions/b.py",)),
        ({"a": LINE["a"], "renamed": LINE["b"], "c": LINE["c"]}, (), ()),
        ({"a": LINE["b"], "b": LINE["a"]}, (), ()),
    ],
)
def test_drift_of_applied_migrations(
    files: dict[str, bytes], changed: tuple[str, ...], removed: tuple[str, ...]
) -> None:
    record = recorded(tree(**LINE), ["2"])
    assert sorted(record) == ["alembic/versions/a.py", "alembic/versions/b.py"]
    found = drift(record, tree(**files))
    assert (found.changed, found.removed) == (changed, removed)
    assert bool(found) is bool(changed or removed)


def test_all_migrations_gone() -> None:
    assert len(drift(recorded(tree(**LINE), ["3"]), None).removed) == 3


@given(st.lists(st.sets(st.integers(0, 7), max_size=3), min_size=1, max_size=8))
def test_alembic_sees_the_same_tree(tmp_path_factory: pytest.TempPathFactory, downs: list[set[int]]) -> None:
    """Random trees, read by both: each revision comes after some of those before it."""
    names = [f"r{number}" for number in range(len(downs))]
    files = {}
    for number, name in enumerate(names):
        after = tuple(names[down] for down in sorted(downs[number]) if down < number)
        files[f"{VERSIONS}/{name}.py"] = revision(name, repr(after) if after else "None")
    root = tmp_path_factory.mktemp("tree")
    _write(root, files)
    config = Config()
    config.set_main_option("script_location", str(root / "alembic"))
    real = ScriptDirectory.from_config(config)
    ours = read_tree(files)
    assert ours is not None
    assert sorted(head.id for head in heads(ours)) == sorted(real.get_heads())
    for name in names:
        iterated = real.iterate_revisions(name, "base")
        assert {each.id for each in applied(ours, [name])} == {each.revision for each in iterated}


def _write(root: Path, files: dict[str, bytes]) -> None:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)


@given(
    st.dictionaries(
        st.sampled_from(["alembic.ini", "alembic/versions/a.py", "pyproject.toml"]), st.binary(max_size=120)
    )
)
def test_whatever_the_files_hold_they_are_read(files: dict[str, bytes]) -> None:
    found = read_tree(files)
    if found is not None:
        diagnose(found)


@pytest.mark.parametrize(
    "down", ["(" + "'x'," * 101 + ")", "'" + "x" * 201 + "'"], ids=["more revisions than anybody has", "a long one"]
)
def test_what_could_fill_a_message_is_not_taken_for_a_revision(down: str) -> None:
    (fault,) = tree(a=revision("1", down)).faults
    assert "too long" in fault.message
    assert len(fault.message) < 100
