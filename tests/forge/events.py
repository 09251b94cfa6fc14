"""Pure builders of the bodies that GitHub delivers to a webhook."""

from typing import Any

from tests.forge.payloads import Addresses, Json, pull_request_object, repository_object, timestamp, user_object
from tests.forge.state import PullRequest, Repository, User, now


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
