import json
from typing import Any
from urllib.parse import quote

import pytest

from orchestrator.preview.state import PreviewId
from webhooks.receiver.events import (
    FORM,
    HINTS,
    CommentDeleted,
    Event,
    Ignored,
    Malformed,
    Ping,
    PullRequestEvent,
    PushEvent,
    RepositoriesEvent,
    read,
)


def payload(action: str, **pull: Any) -> dict[str, Any]:
    return {
        "action": action,
        "number": 2,
        "repository": {"id": 186853002, "full_name": "Codertocat/Hello-World"},
        "pull_request": {
            "number": 2,
            "title": "Update the README with new information.",
            "body": None,
            "user": {"login": "Codertocat"},
            "head": {"ref": "changes", "sha": "ec26c3e57ca3a959ca5aad62de7213c562f8c821", "repo": None},
        }
        | pull,
    }


def understood(content: Any, event: str = "pull_request") -> Event:
    return read(event, "application/json", json.dumps(content).encode())


@pytest.mark.parametrize("action", sorted(HINTS))
def test_actions_that_matter_are_hints(action: str) -> None:
    """Without an installation, as repository webhooks come, and with the head of a deleted fork."""
    assert understood(payload(action)) == PullRequestEvent(
        action=action,
        preview=PreviewId(186853002, 2),
        repository_name="Codertocat/Hello-World",
        title="Update the README with new information.",
        author="Codertocat",
        branch="changes",
    )


@pytest.mark.parametrize(
    "action",
    ["assigned", "locked", "review_requested", "auto_merge_enabled", "enqueued", "dequeued", "milestoned", "new"],
)
def test_other_actions_are_ignored_by_name(action: str) -> None:
    event = understood(payload(action))
    assert isinstance(event, Ignored)
    assert f"pull_request.{action}" in event.reason


def test_an_edit_matters_only_with_a_new_base() -> None:
    moved = {"base": {"ref": {"from": "main"}, "sha": {"from": "0" * 40}}}
    assert isinstance(understood(payload("edited") | {"changes": moved}), PullRequestEvent)
    others: list[Any] = [{}, {"title": {"from": "x"}}, None, []]
    for changes in others:
        assert isinstance(understood(payload("edited") | {"changes": changes}), Ignored)


def test_ping() -> None:
    assert understood({"zen": "Design for failure.", "hook": {}}, "ping") == Ping(zen="Design for failure.")
    assert understood({}, "ping") == Ping(zen="")


@pytest.mark.parametrize(
    "event", ["issue_comment", "installation", "installation_repositories", "repository", "invented_tomorrow"]
)
def test_other_events_are_ignored_by_name(event: str) -> None:
    for content in ({"action": "created"}, {}, {"action": None}):
        found = understood(content, event)
        assert isinstance(found, Ignored)
        assert event in found.reason


def test_a_push_to_a_branch_is_about_its_template() -> None:
    pushed = {"ref": "refs/heads/release/1.2", "repository": {"id": 5}}
    assert understood(pushed, "push") == PushEvent(repository=5, branch="release/1.2")
    assert isinstance(understood(pushed | {"ref": "refs/tags/v1"}, "push"), Ignored)


@pytest.mark.parametrize(
    ("event", "content", "repositories"),
    [
        ("installation", {"action": "deleted", "repositories": [{"id": 5}, {"id": 6}]}, {5, 6}),
        ("installation", {"action": "suspend"}, None),
        ("installation_repositories", {"action": "removed", "repositories_removed": [{"id": 5}]}, {5}),
        ("repository", {"action": "renamed", "repository": {"id": 5}}, {5}),
        ("repository", {"action": "transferred", "repository": {"id": 5}}, {5}),
    ],
)
def test_what_happens_to_repositories_is_about_all_their_pull_requests(
    event: str, content: dict[str, Any], repositories: set[int] | None
) -> None:
    expected = None if repositories is None else frozenset(repositories)
    assert understood(content, event) == RepositoriesEvent(action=content["action"], repositories=expected)


@pytest.mark.parametrize("listed", [[None], [{"id": "5"}], [{}]])
def test_repositories_that_have_no_number_are_malformed(listed: list[Any]) -> None:
    with pytest.raises(Malformed, match=r"repositories\[0\]\.id"):
        understood({"action": "deleted", "repositories": listed}, "installation")


def test_a_deleted_comment_is_told_by_its_number() -> None:
    deleted = {"action": "deleted", "comment": {"id": 4711}, "repository": {"id": 5}}
    assert understood(deleted, "issue_comment") == CommentDeleted(repository=5, comment=4711)


def test_a_form_is_read_as_json_is() -> None:
    content = payload("opened", title="a & b = c; ü")
    body = b"payload=" + quote(json.dumps(content)).encode()
    assert read("pull_request", f"{FORM}; charset=utf-8", body) == understood(content)


@pytest.mark.parametrize(
    "body", [b"", b"payload", b"other=1", b"payload={}&payload={}", b"&".join([b"a=1"] * 50)], ids=repr
)
def test_a_wrong_form_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed, match="form"):
        read("pull_request", FORM, body)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "JSON"),
        (b"null", "object"),
        (b'"text"', "object"),
        (b"[" * 200_000, "JSON"),
        (b"\x80", "JSON"),
        (b"{}", "action"),
        (b'{"action": {}}', "action"),
    ],
    ids=repr,
)
def test_what_is_no_delivery_is_malformed(body: bytes, what: str) -> None:
    with pytest.raises(Malformed, match=what):
        read("pull_request", "application/json", body)


@pytest.mark.parametrize("value", [None, "1", 1.0, True, 0, -1, 2**63, [], {}], ids=repr)
def test_numbers_must_be_numbers_that_fit(value: Any) -> None:
    content = payload("opened")
    content["repository"]["id"] = value
    with pytest.raises(Malformed, match=r"repository\.id"):
        understood(content)
    with pytest.raises(Malformed, match=r"pull_request\.number"):
        understood(payload("opened", number=value))


@pytest.mark.parametrize("value", [None, [], 7, "text"], ids=repr)
def test_what_is_only_for_people_may_be_missing(value: Any) -> None:
    """The author is null once the account was deleted."""
    event = understood(payload("opened", title=None, user=value, head=value))
    assert isinstance(event, PullRequestEvent)
    assert (event.title, event.author, event.branch) == ("", "", "")


@pytest.mark.parametrize("name", ["repository", "pull_request"])
def test_what_identifies_it_may_not_be_missing(name: str) -> None:
    wrong: list[Any] = [None, [], "x"]
    for value in wrong:
        with pytest.raises(Malformed, match=name):
            understood(payload("opened") | {name: value})


def test_text_is_cut_and_repaired_for_postgres() -> None:
    event = understood(payload("opened", title="\0half \ud83d" + "x" * 1000))
    assert isinstance(event, PullRequestEvent)
    assert event.title.startswith("half ?xxx")
    assert len(event.title) <= 300
