"""What a database is copied from, and when it is made anew."""

import pytest

from orchestrator.codebase.alembic.revisions import MigrationTree, read_tree
from orchestrator.compose.model import Reset
from orchestrator.databases import resets, templates
from orchestrator.databases.templates import Template


def tree(**texts: str) -> MigrationTree:
    """Revisions in a row, by id, each with its text."""
    files, down = {}, None
    for revision, text in texts.items():
        files[f"alembic/versions/{revision}.py"] = (
            f"revision = {revision!r}\ndown_revision = {down!r}\n{text}\n".encode()
        )
        down = revision
    found = read_tree({"alembic.ini": b"[alembic]\nscript_location = alembic\n", **files})
    assert found is not None
    return found


TWO = tree(a="1", b="2")


def template(made: MigrationTree, *revisions: str, branch: str = "main") -> Template:
    return Template(name="t", repository=1, made_of=templates.made_of(branch, "abcdef0123", made, revisions))


@pytest.mark.parametrize(
    ("commit", "source", "words"),
    [
        (TWO, "t", "copied from main at abcdef0 (2 revisions)"),
        (tree(a="1", b="2", c="3"), "t", "copied from main at abcdef0 (2 revisions)"),
        (tree(a="1"), None, "main's template is at revision b, which this commit does not know"),
        (tree(a="other", b="2"), None, "changes migrations that made main's template"),
    ],
)
def test_a_copy_is_taken_by_a_commit_that_could_have_made_it(commit: MigrationTree, source: str, words: str) -> None:
    found = templates.origin([template(TWO, "b")], 1, "main", commit)
    assert found is not None
    assert found.source == source
    assert words in found.said


def test_other_branches_repositories_and_unfinished_ones_do_not_count() -> None:
    made = [template(TWO, "b", branch="next"), Template(name="t", repository=1, made_of=None)]
    assert templates.origin(made, 1, "main", TWO) is None
    assert templates.origin([template(TWO, "b")], 2, "main", TWO) is None


def test_a_template_tells_other_tenants_neither_names_nor_paths() -> None:
    told = str(templates.made_of("secret-branch", "abc", TWO, {"b"}))
    assert "secret" not in told
    assert "versions" not in told


@pytest.mark.parametrize(
    ("revisions", "now", "words"),
    [
        ({"b"}, TWO, ""),
        ({"b"}, tree(a="1", b="2", c="3"), ""),
        ({"b"}, tree(a="1", b="other"), "b.py changed after it had been applied"),
        ({"a"}, tree(a="1", b="other"), ""),
        ({"b"}, tree(a="1"), "b.py was applied, and is gone"),
        (None, tree(a="1", b="other"), "b.py changed after it had been applied"),
        ({"b"}, None, "was applied, and is gone"),
    ],
)
def test_what_of_applied_migrations_changed(revisions: set[str] | None, now: MigrationTree | None, words: str) -> None:
    found = resets.changed_migrations(resets.digests(TWO), now, revisions)
    assert bool(found) is bool(words)
    assert words in found


def test_a_migration_that_came_after_the_record_did_not_change() -> None:
    """The record is older than the database when our own state was put back from a dump."""
    assert resets.changed_migrations(resets.digests(tree(a="1")), TWO, {"b"}) == ""
    assert "a.py" in resets.changed_migrations(resets.digests(tree(a="other")), TWO, {"b"})


def test_whether_a_commit_will_migrate() -> None:
    assert not resets.will_migrate(TWO, {"b"})
    assert resets.will_migrate(TWO, {"a"})
    assert resets.will_migrate(TWO, set())
    assert resets.will_migrate(TWO, None), "in doubt it will"


@pytest.mark.parametrize(
    ("policy", "is_reset"),
    [(None, True), (Reset.NEVER, False), (Reset.ALWAYS, True), (Reset.ON_MIGRATION_CHANGE, True)],
)
def test_the_policy(policy: Reset | None, is_reset: bool) -> None:
    reason = resets.reset_reason(policy, requested=False, is_new=True, follows=True, changed="a.py changed")
    assert bool(reason) is is_reset
    assert resets.reset_reason(policy, requested=True, is_new=False, follows=True, changed="")
