"""What is known of a database, and what becomes of it when a commit comes up or does not."""

import json
from dataclasses import replace

from orchestrator.databases.record import DatabaseRecord, Rollback

WAY_BACK = "previewd_812_7_w00000000002a"
ROLLBACK = Rollback(
    commit="new",
    snapshot=WAY_BACK,
    revisions=("1",),
    reset="it was asked for",
    migrations={"2.py": "b"},
    origin="empty",
)
RECORD = DatabaseRecord(commit="old", migrations={"1.py": "a"}, origin="copied", rollback=ROLLBACK)


def test_it_comes_back_from_the_row_as_it_was() -> None:
    for record in (RECORD, DatabaseRecord(commit="old"), RECORD.proven(), RECORD.taken_back()):
        assert DatabaseRecord.read(json.loads(json.dumps(record.stored()))) == record
    assert DatabaseRecord.read(None) is None
    assert "undo" in RECORD.stored(), "versions that run beside this one read it by that key"


def test_containers_are_told_apart_from_those_of_an_earlier_database_before_and_after_it_is_proven() -> None:
    assert RECORD.incarnation == RECORD.proven().incarnation == 42
    assert RECORD.taken_back().incarnation == 0
    older = replace(RECORD, rollback=replace(ROLLBACK, snapshot="previewd_812_7_s12"))
    assert older.proven().incarnation == 0x12, "what an older version has begun is brought to its end"


def test_what_is_proven_is_what_the_new_commit_made() -> None:
    proven = RECORD.proven()
    assert (proven.commit, proven.migrations, proven.story) == ("new", {"2.py": "b"}, "empty")
    assert (proven.rollback, proven.discard) == (None, WAY_BACK)


def test_what_is_taken_back_is_what_the_old_commit_had() -> None:
    back = RECORD.taken_back()
    assert (back.commit, back.migrations, back.story) == ("old", {"1.py": "a"}, "copied")
    assert (back.rollback, back.discard) == (None, WAY_BACK)
