"""What the forge shows of a preview's environment."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from orchestrator.preview.records import Deployment, Preview, Wiring
from orchestrator.preview.state import PreviewId, State
from orchestrator.reporting.deployments import deployments

NOW = datetime(2026, 11, 21, tzinfo=UTC)
OLD, NEW = "a" * 40, "b" * 40
URL = "https://pr-7.preview.example.com"
PREVIEW = Preview(
    id=PreviewId(812, 7),
    repository_name="acme/shop",
    title="",
    author="",
    branch="",
    host="pr-7.preview.example.com",
    state=State.READY,
    reason="",
    commit=NEW,
    serving_commit=OLD,
    created_at=NOW,
    updated_at=NOW,
)
ATTEMPT = Deployment(
    id=1,
    generation=1,
    commit=NEW,
    outcome=None,
    failed_step=None,
    reason="",
    remedy="",
    log_tail=(),
    wiring=Wiring(),
    notes=(),
    started_at=NOW,
    finished_at=None,
    steps=(),
)


def shown(state: State, serving: str | None = OLD, known: tuple[str, ...] = (), outcome: str | None = None) -> object:
    preview = replace(PREVIEW, state=state, serving_commit=serving)
    found = deployments(preview, replace(ATTEMPT, outcome=outcome), URL, "log", "marker", known)
    return {deployment.commit: deployment.state for deployment in found}


@pytest.mark.parametrize(
    ("state", "shown_as"),
    [
        (State.QUEUED, "queued"),
        (State.BUILDING, "in_progress"),
        (State.PREPARING, "in_progress"),
        (State.STARTING, "in_progress"),
        (State.FAILED, "failure"),
    ],
)
def test_what_serves_stays_a_success_while_a_newer_commit_is_on_its_way(state: State, shown_as: str) -> None:
    assert shown(state) == {NEW: shown_as, OLD: "success"}
    assert shown(state, serving=None) == {NEW: shown_as}
    assert shown(state, serving=NEW) == {NEW: "success"}, "the same commit again, which serves already"


def test_a_commit_that_serves_no_more_is_inactive_once_the_newer_one_serves() -> None:
    assert shown(State.READY, serving=NEW, known=(OLD, NEW)) == {NEW: "success", OLD: "inactive"}


@pytest.mark.parametrize("state", [State.REMOVING, State.REMOVED])
def test_nothing_of_a_closed_pull_request_is_active(state: State) -> None:
    assert shown(state, known=(OLD, NEW)) == {OLD: "inactive", NEW: "inactive"}
    assert shown(state) == {}


def test_who_waits_has_a_deployment_only_in_a_line() -> None:
    assert shown(State.WAITING, serving=None) == {}
    assert shown(State.WAITING, serving=None, known=(OLD,)) == {OLD: "inactive"}
    assert shown(State.WAITING, serving=None, outcome="waiting") == {NEW: "queued"}


def test_only_what_serves_has_an_address() -> None:
    found = deployments(replace(PREVIEW, state=State.BUILDING), None, URL, "log", "marker")
    assert {each.state: each.url for each in found} == {"in_progress": "", "success": URL}
    assert {each.environment for each in found} == {"preview/pr-7"}


def test_a_step_more_is_nothing_new() -> None:
    said = {
        deployments(replace(PREVIEW, state=state, serving_commit=None), None, URL, "log", "marker")[0].said
        for state in (State.BUILDING, State.PREPARING, State.STARTING)
    }
    assert len(said) == 1
