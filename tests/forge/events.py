"""Pure builders of the bodies that GitHub delivers to a webhook."""

from typing import Any

from tests.forge.payloads import (
    Addresses,
    Json,
    comment_object,
    pull_request_object,
    repository_object,
    timestamp,
    user_object,
)
from tests.forge.state import Comment, PullRequest, Repository, User, now


def pull_request_event(
    at: Addresses, pull: PullRequest, action: str, *, sender: User, installation: int | None, **extra: Any
) -> Json:
    """A `pull_request` delivery; `extra` is what only some actions carry, such as `before` and `after`."""
    return {
        "action": action,
        "number": pull.number,
        "pull_request": pull_request_object(at, pull),
        **extra,
        "repository": repository_object(at, pull.repository),
        **_installation(installation),
        "sender": user_object(at, sender),
    }


def comment_event(
    at: Addresses, pull: PullRequest, comment: Comment, action: str, *, sender: User, installation: int | None
) -> Json:
    """An `issue_comment` delivery about a comment on a pull request, which GitHub calls an issue there."""
    page = at.pull(pull)
    return {
        "action": action,
        "issue": {
            "number": pull.number,
            "title": pull.title,
            "state": pull.state,
            "locked": pull.locked,
            "pull_request": {"html_url": page},
            "html_url": page,
        },
        "comment": comment_object(at, pull.repository, comment),
        "repository": repository_object(at, pull.repository),
        **_installation(installation),
        "sender": user_object(at, sender),
    }


def renamed_event(
    at: Addresses, repository: Repository, former_name: str, *, sender: User, installation: int | None
) -> Json:
    """A `repository` delivery after it got another name."""
    return {
        "action": "renamed",
        "changes": {"repository": {"name": {"from": former_name}}},
        "repository": repository_object(at, repository),
        **_installation(installation),
        "sender": user_object(at, sender),
    }


def installation_event(
    installation: int, action: str, repositories: list[Repository] | None, *, at: Addresses, sender: User
) -> Json:
    """An `installation` delivery. One that is suspended is told without its repositories."""
    listed = {} if repositories is None else {"repositories": [_named(each) for each in repositories]}
    return {"action": action, "installation": {"id": installation}, **listed, "sender": user_object(at, sender)}


def repositories_removed_event(installation: int, removed: list[Repository], *, at: Addresses, sender: User) -> Json:
    """An `installation_repositories` delivery about repositories that the App may no longer see."""
    return {
        "action": "removed",
        "installation": {"id": installation},
        "repository_selection": "selected",
        "repositories_added": [],
        "repositories_removed": [_named(each) for each in removed],
        "sender": user_object(at, sender),
    }


def _named(repository: Repository) -> Json:
    return {
        "id": repository.id,
        "node_id": f"R_{repository.id}",
        "name": repository.name,
        "full_name": repository.full_name,
        "private": repository.private,
    }


def ping_event(at: Addresses, repository: Repository, *, hook_id: int, hook_url: str) -> Json:
    """The `ping` that GitHub sends when a webhook is made, or on request."""
    url = f"{at.repository(repository)}/hooks/{hook_id}"
    moment = timestamp(now())
    return {
        "zen": "Small steps arrive.",
        "hook_id": hook_id,
        "hook": {
            "type": "Repository",
            "id": hook_id,
            "name": "web",
            "active": True,
            "events": ["pull_request"],
            "config": {"content_type": "json", "insecure_ssl": "0", "url": hook_url},
            "updated_at": moment,
            "created_at": moment,
            "url": url,
            "ping_url": f"{url}/pings",
            "last_response": {"code": None, "status": "unused", "message": None},
        },
        "repository": repository_object(at, repository),
        "sender": user_object(at, repository.owner),
    }


def _installation(installation: int | None) -> Json:
    """A repository's own webhook, as opposed to an App's, names no installation."""
    return {} if installation is None else {"installation": {"id": installation, "node_id": f"I_{installation}"}}
