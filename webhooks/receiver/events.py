"""What a delivery says: its headers and body become an event that we act on, or a reason why we do not. Pure.

A delivery is a hint: only what identifies the pull request, and what makes its first line in a list readable, is
taken from it. GitHub adds events and actions at any time, so an unknown one is no error.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from orchestrator.preview.state import PreviewId

HINTS = frozenset(
    {
        "opened",
        "reopened",
        "synchronize",
        "ready_for_review",
        "closed",
        "converted_to_draft",
        "labeled",
        "unlabeled",
    }
)
"""Actions of `pull_request` after which it may have to look different here. `edited` counts with a new base only."""

TAKEN_AWAY = {"installation": frozenset({"deleted", "suspend"}), "installation_repositories": frozenset({"removed"})}
"""Actions after which an App's access to repositories is gone. What it gains is found by looking at all it has."""

CHANGED = frozenset({"renamed", "transferred", "deleted", "privatized", "publicized"})
"""Actions of `repository` after which its pull requests may have to look different here."""

LARGEST_REPOSITORY = 2**63 - 1
LARGEST_NUMBER = 2**31 - 1
TEXT_LENGTH = 300
"""Longer titles and names are cut: they are for people to recognise."""

_BRANCHES = "refs/heads/"

FORM = "application/x-www-form-urlencoded"


class Malformed(Exception):
    """The delivery is not what GitHub sends; the text says where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequestEvent:
    """Something happened to this pull request: it is worth a look."""

    action: str
    preview: PreviewId
    repository_name: str
    title: str
    author: str
    branch: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """GitHub tries the webhook out."""

    zen: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """Nothing follows from it. `reason` says why."""

    action: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PushEvent:
    """A branch of this repository moved: what was made of it may be old."""

    repository: int
    branch: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoriesEvent:
    """Something happened to these repositories, or to our access to them; None when it may be any."""

    action: str
    repositories: frozenset[int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentDeleted:
    """A comment, perhaps ours, is gone."""

    repository: int
    comment: int


Event = PullRequestEvent | PushEvent | RepositoriesEvent | CommentDeleted | Ping | Ignored


def read(event: str, content_type: str, body: bytes) -> Event:
    """Understand a delivery. Raises Malformed."""
    payload = _payload(content_type, body)
    named = payload.get("action")
    action = _text(named) if isinstance(named, str) else None
    match event:
        case "ping":
            return Ping(zen=_text(payload.get("zen")))
        case "pull_request":
            return _pull_request(payload)
        case "push":
            return _push(payload)
        case "installation" | "installation_repositories" if action and action in TAKEN_AWAY[event]:
            return RepositoriesEvent(action=action, repositories=_taken_away(event, payload))
        case "repository" if action and action in CHANGED:
            return RepositoriesEvent(action=action, repositories=frozenset({_repository(payload)}))
        case "issue_comment" if action == "deleted":
            comment = _number(_object(payload, "comment"), "id", "comment.id", LARGEST_REPOSITORY)
            return CommentDeleted(repository=_repository(payload), comment=comment)
        case _:
            reason = f"previewd does nothing on the event {_text(event)}"
            return Ignored(action=action, reason=reason)


def _pull_request(payload: Mapping[str, Any]) -> Event:
    action = payload.get("action")
    if not isinstance(action, str):
        raise Malformed("action: a text is needed")
    if action == "edited" and not _base_changed(payload):
        return Ignored(action=action, reason="edited: only a new base branch matters, and the base is the same")
    if action != "edited" and action not in HINTS:
        return Ignored(action=_text(action), reason=f"previewd does nothing on the action pull_request.{_text(action)}")
    return _described(action, payload)


def _push(payload: Mapping[str, Any]) -> Event:
    ref = payload.get("ref")
    if not isinstance(ref, str):
        raise Malformed("ref: a text is needed")
    if not ref.startswith(_BRANCHES):
        return Ignored(action=None, reason="push: only branches matter")
    return PushEvent(repository=_repository(payload), branch=_text(ref.removeprefix(_BRANCHES)))


def _taken_away(event: str, payload: Mapping[str, Any]) -> frozenset[int] | None:
    """A suspended installation is told without its repositories, a deleted one with them."""
    name = "repositories" if event == "installation" else "repositories_removed"
    listed = payload.get(name)
    if not isinstance(listed, list):
        return None
    return frozenset(
        _number(each if isinstance(each, dict) else {}, "id", f"{name}[{position}].id", LARGEST_REPOSITORY)
        for position, each in enumerate(listed)
    )


def _repository(payload: Mapping[str, Any]) -> int:
    return _number(_object(payload, "repository"), "id", "repository.id", LARGEST_REPOSITORY)


def _described(action: str, payload: Mapping[str, Any]) -> PullRequestEvent:
    """The head's repository is null once a fork was deleted, and the author is null once the account was."""
    repository, pull = _object(payload, "repository"), _object(payload, "pull_request")
    name = repository.get("full_name")
    if not isinstance(name, str) or not name:
        raise Malformed("repository.full_name: a text is needed")
    return PullRequestEvent(
        action=action,
        preview=PreviewId(
            _number(repository, "id", "repository.id", LARGEST_REPOSITORY),
            _number(pull, "number", "pull_request.number", LARGEST_NUMBER),
        ),
        repository_name=_text(name),
        title=_text(pull.get("title")),
        author=_text(_optional(pull, "user").get("login")),
        branch=_text(_optional(pull, "head").get("ref")),
    )


def _base_changed(payload: Mapping[str, Any]) -> bool:
    return "base" in _optional(payload, "changes")


def _payload(content_type: str, body: bytes) -> Mapping[str, Any]:
    if content_type.partition(";")[0].strip().lower() == FORM:
        body = _form_payload(body)
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the body is not JSON: {error}") from None
    if not isinstance(payload, dict):
        raise Malformed("the body is JSON, but no object")
    return payload


def _form_payload(body: bytes) -> bytes:
    try:
        fields = parse_qs(body, strict_parsing=True, max_num_fields=16)
    except ValueError as error:
        raise Malformed(f"the body is not a form: {error}") from None
    if len(fields.get(b"payload", ())) != 1:
        raise Malformed("the form must have one field `payload`")
    return fields[b"payload"][0]


def _object(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = parent.get(name)
    if not isinstance(value, dict):
        raise Malformed(f"{name}: an object is needed")
    return value


def _optional(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def _number(parent: Mapping[str, Any], name: str, path: str, largest: int) -> int:
    value = parent.get(name)
    if type(value) is not int or not 0 < value <= largest:  # `True` is an int, too
        raise Malformed(f"{path}: a positive number is needed")
    return value


def _text(value: object) -> str:
    """What Postgres can keep: no NUL, no half of a surrogate pair, and not without end."""
    if not isinstance(value, str):
        return ""
    return value[:TEXT_LENGTH].replace("\0", "").encode("utf-8", "replace").decode()
