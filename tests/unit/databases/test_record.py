"""What is known of a database, and what becomes of it when a commit comes up or does not."""

import json
from dataclasses import replace

from orchestrator.databases.record import Holding, Undo

WAY_BACK = "previewd_812_7_w00000000002a"
UNDO = Undo(
    commit="new",
    snapshot=WAY_BACK,
    revisions=("1",),
    reset="it was asked for",
    migrations={"2.py": "b"},
    origin="empty",
)
HOLDING = Holding(commit="old", migrations={"1.py": "a"}, origin="copied", undo=UNDO)


def test_it_comes_back_from_the_row_as_it_was() -> None:
    for holding in (HOLDING, Holding(commit="old"), HOLDING.proven(), HOLDING.taken_back()):
        assert Holding.read(json.loads(json.dumps(holding.stored()))) == holding
    assert Holding.read(None) is None


def test_containers_are_told_apart_from_those_of_an_earlier_database_before_and_after_it_is_proven() -> None:
    assert HOLDING.incarnation == HOLDING.proven().incarnation == 42
    assert HOLDING.taken_back().incarnation == 0
    older = replace(HOLDING, undo=replace(UNDO, snapshot="previewd_812_7_s12"))
    assert older.proven().incarnation == 0x12, "what an older version has begun is brought to its end"


def test_what_is_proven_is_what_the_new_commit_made() -> None:
    proven = HOLDING.proven()
    assert (proven.commit, proven.migrations, proven.story) == ("new", {"2.py": "b"}, "empty")
    assert (proven.undo, proven.discard) == (None, WAY_BACK)


def test_what_is_taken_back_is_what_the_old_commit_had() -> None:
    back = HOLDING.taken_back()
    assert (back.commit, back.migrations, back.story) == ("old", {"1.py": "a"}, "copied")
    assert (back.undo, back.discard) == (None, WAY_BACK)
