"""What the pull request is told, and that nothing from outside does more than be shown."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.databases.usage import DatabaseUse
from orchestrator.preview.records import Deployment, Preview, StepTimes, WiredForm, WiredValue, Wiring
from orchestrator.preview.state import PreviewId, State, Step
from orchestrator.reporting import comment

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
PREVIEW = Preview(
    id=PreviewId(812, 7),
    repository_name="acme/shop",
    title="A change",
    author="ada",
    branch="feature",
    host="pr-7-shop.preview.example.com",
    state=State.READY,
    reason="GET /health answered 200 through the proxy",
    commit="c0ffee" + "0" * 34,
    serving_commit="c0ffee" + "0" * 34,
    created_at=NOW,
    updated_at=NOW,
)
DEPLOYMENT = Deployment(
    id=1,
    generation=1,
    commit=PREVIEW.commit or "",
    outcome="ready",
    failed_step=None,
    reason="",
    remedy="",
    log_tail=(),
    wiring=Wiring(),
    notes=(),
    started_at=NOW,
    finished_at=NOW + timedelta(seconds=72.04),
    steps=(
        StepTimes(step=Step.SOURCE, started_at=NOW, finished_at=NOW + timedelta(seconds=0.4)),
        StepTimes(step=Step.BUILD, started_at=NOW, finished_at=NOW + timedelta(seconds=61)),
    ),
)
URL = "https://pr-7-shop.preview.example.com"


def render(preview: Preview, deployment: Deployment | None = DEPLOYMENT) -> comment.Feedback:
    return comment.render(preview, deployment, URL, "https://previewd.example.com", "secret")


def test_ready_says_where_what_and_how_it_was_proven() -> None:
    body = render(PREVIEW).body
    assert body.startswith("<!-- previewd 812-7 ")
    assert f"Preview ready: [pr-7-shop.preview.example.com]({URL})" in body
    assert "`c0ffee0` is live after 1 min 12 s: GET /health answered 200 through the proxy." in body
    assert "| 0.4 s | 1 min 1 s | – | – | – | – |" in body


def test_failed_says_the_step_the_reason_the_remedy_and_what_still_serves() -> None:
    preview = replace(PREVIEW, state=State.FAILED, serving_commit="beef" + "0" * 36)
    failed = replace(
        DEPLOYMENT, outcome="failed", failed_step=Step.BUILD, reason="it broke", remedy="mend it", log_tail=("a", "b")
    )
    body = render(preview, failed).body
    for words in (
        "at **build**",
        "> it broke",
        "**What to do:** mend it",
        "```text\na\nb\n```",
        "`beef000` still answers",
    ):
        assert words in body


@pytest.mark.parametrize("state", list(State))
def test_every_state_has_words(state: State) -> None:
    told = render(replace(PREVIEW, state=state))
    assert "### " in told.body
    assert (told.status is None) == (state in (State.REMOVING, State.REMOVED))


def test_a_status_names_its_commit_and_fits() -> None:
    status = render(replace(PREVIEW, reason="x" * 500)).status
    assert status is not None
    assert (status.commit, status.state, len(status.description)) == (PREVIEW.commit, "success", 140)


def test_nothing_is_said_of_a_commit_that_is_not_known() -> None:
    assert render(replace(PREVIEW, state=State.WAITING, commit=None)).status is None


@given(st.text())
def test_text_from_outside_mentions_nobody_and_brings_no_markup(text: str) -> None:
    shown = comment.plain(text)
    assert not re.search(r"@\w", shown)
    assert "<" not in shown
    assert not re.search(r"(?<!\\)[`*_\[\]]", shown.replace("\\\\", ""))


@given(st.lists(st.text(), max_size=50))
def test_no_log_line_closes_its_fence(lines: list[str]) -> None:
    first, *inside, last = comment.fenced(lines).split("\n")
    fence = first.removesuffix("text")
    assert last == fence
    assert not any(line.strip().startswith(fence) for line in inside)


def test_the_digests_change_with_what_is_said() -> None:
    said, otherwise = render(PREVIEW), render(replace(PREVIEW, reason="otherwise"))
    assert (said.comment_digest, said.status_digest) == (render(PREVIEW).comment_digest, render(PREVIEW).status_digest)
    assert said.comment_digest != otherwise.comment_digest
    assert said.status_digest != otherwise.status_digest


WIRING = Wiring(
    forms=(
        WiredForm(
            variable="DATABASE_URL", scheme="postgresql+asyncpg", why="app/db.py asks for it", place="app/db.py:7"
        ),
    ),
    values=(
        WiredValue(
            service="app",
            variable="DATABASE_URL",
            place="compose.yaml:5",
            before="postgresql://shop:***@db/shop",
            after="postgresql+asyncpg://previewd_812_7:***@10.0.0.1:5432/previewd_812_7",
        ),
        WiredValue(service="app", variable="PGHOST", place="compose.yaml:6", before=None, after="10.0.0.1"),
    ),
)


def test_what_was_rewritten_is_folded_away_in_the_comment() -> None:
    body = render(PREVIEW, replace(DEPLOYMENT, wiring=WIRING)).body
    assert "<details><summary>How the application finds its database</summary>\n\n| service |" in body
    assert "| app | <code>PGHOST</code> | – | <code>10.0.0.1</code> |" in body
    assert "because app/db.py asks for it (app/db.py:7)" in body
    assert "How the application" not in render(PREVIEW).body


@given(st.text())
def test_a_rewritten_value_stays_in_its_cell(value: str) -> None:
    evil = replace(WIRING.values[0], before=value)
    body = render(PREVIEW, replace(DEPLOYMENT, wiring=Wiring(values=(evil,)))).body
    row = next(line for line in body.splitlines() if line.startswith("| app |"))
    assert row.count("|") == 5
    cell = row.split("|")[3].strip()
    assert re.fullmatch(r"<code>[^<>`@|*_\[\]\\]*</code>", cell)


def test_the_database_is_spoken_of_when_it_matters() -> None:
    fine = DatabaseUse(
        bytes=1, limit_bytes=1 << 31, connections=1, connection_limit=20, is_crowded=False, ended="", ended_at=None,
        measured_at=NOW,
    )  # fmt: skip
    near = replace(fine, bytes=round((1 << 31) * 0.9), connections=17, is_crowded=True)
    told = [comment.render(PREVIEW, DEPLOYMENT, URL, "", "secret", use).body for use in (fine, near)]
    assert "⚠️" not in told[0]
    assert "1.8 GiB of 2 GiB" in told[1]
    assert "17 of the 20 database connections" in told[1]


def test_one_far_behind_in_line_is_told_less_than_its_row_knows() -> None:
    why = "it waits for its turn, number 212 in line: this machine works on 4 previews at once"
    waiting = replace(PREVIEW, state=State.WAITING, serving_commit=None, reason=why, waits_for="slot", place=212)
    told = render(waiting)
    assert "it waits for its turn, more than 10 before it: this machine works on 4 previews at once" in told.body
    assert told.status is not None
    assert "212" not in told.body + told.status.description
    nearer = replace(waiting, reason=why.replace("212", "211"), place=211)
    assert render(nearer).comment_digest == told.comment_digest, "a step of the line is no edit"
