"""The gate's rules: who runs, who waits, and what the pull request is told."""

from dataclasses import replace

import pytest

from orchestrator.preview.trust import Remove, Run, Wait, may_run
from tests.support.pulls import PULL


@pytest.mark.parametrize("permission", ["admin", "maintain", "write"])
def test_a_branch_of_the_repository_by_one_who_may_write_runs(permission: str) -> None:
    assert may_run(PULL, permission) == Run(PULL.head_commit)


@pytest.mark.parametrize("permission", ["triage", "read", "none", "", "owner", "WRITE"])
def test_anybody_else_waits(permission: str) -> None:
    verdict = may_run(PULL, permission)
    assert isinstance(verdict, Wait)
    assert "no write access" in verdict.reason


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"head_repository": 813}, "fork"),
        ({"head_repository": None}, "deleted"),
        ({"author_is_bot": True}, "bot"),
        ({"draft": True}, "draft"),
    ],
)
@pytest.mark.parametrize("permission", ["admin", "write", "none"])
def test_no_permission_makes_up_for_where_the_code_comes_from(
    change: dict[str, object], words: str, permission: str
) -> None:
    verdict = may_run(replace(PULL, **change), permission)  # type: ignore[arg-type]
    assert isinstance(verdict, Wait)
    if permission != "none":
        assert words in verdict.reason


@pytest.mark.parametrize("change", [{}, {"head_repository": None}, {"draft": True}, {"author_is_bot": True}])
def test_a_closed_one_goes_whatever_else_it_is(change: dict[str, object]) -> None:
    assert isinstance(may_run(replace(PULL, open=False, **change), "admin"), Remove)  # type: ignore[arg-type]
