"""Pure builders of the objects in GitHub's answers and deliveries, in the shape of its published examples.

Only what a client may care about is there; what is there has GitHub's name and type, which
tests/unit/forge/test_payload_shapes.py holds against the published examples.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.forge.state import Comment, CommitStatus, Deployment, DeploymentStatus, PullRequest, Repository, User

Json = dict[str, Any]

USER_LINKS = {
    "followers_url": "/followers",
    "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}",
    "organizations_url": "/orgs",
    "repos_url": "/repos",
    "events_url": "/events{/privacy}",
    "received_events_url": "/received_events",
}

REPOSITORY_LINKS = {
    "forks_url": "/forks",
    "collaborators_url": "/collaborators{/collaborator}",
    "hooks_url": "/hooks",
    "branches_url": "/branches{/branch}",
    "tags_url": "/tags",
    "git_refs_url": "/git/refs{/sha}",
    "trees_url": "/git/trees{/sha}",
    "statuses_url": "/statuses/{sha}",
    "commits_url": "/commits{/sha}",
    "issue_comment_url": "/issues/comments{/number}",
    "contents_url": "/contents/{+path}",
    "compare_url": "/compare/{base}...{head}",
    "archive_url": "/{archive_format}{/ref}",
    "issues_url": "/issues{/number}",
    "pulls_url": "/pulls{/number}",
    "labels_url": "/labels{/name}",
    "deployments_url": "/deployments",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where this forge answers: its API, and its pages and git repositories."""

    api: str
    web: str

    def repository(self, repository: Repository) -> str:
        """Address a repository in the API."""
        return f"{self.api}/repos/{repository.full_name}"

    def pull(self, pull: PullRequest) -> str:
        """Address a pull request's page."""
        return f"{self.web}/{pull.repository.full_name}/pull/{pull.number}"


def timestamp(moment: datetime) -> str:
    """Write a time as GitHub does: UTC, whole seconds, Z."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def user_object(at: Addresses, user: User) -> Json:
    """A user, an organization or a bot."""
    url = f"{at.api}/users/{user.login}"
    return {
        "login": user.login,
        "id": user.id,
        "node_id": f"U_{user.id}",
        "avatar_url": f"{at.web}/avatars/{user.id}",
        "gravatar_id": "",
        "url": url,
        "html_url": f"{at.web}/{user.login}",
        **{name: url + suffix for name, suffix in USER_LINKS.items()},
        "type": user.type,
        "site_admin": False,
    }


def repository_object(at: Addresses, repository: Repository) -> Json:
    """A repository."""
    url, page = at.repository(repository), f"{at.web}/{repository.full_name}"
    open_pulls = sum(pull.state == "open" for pull in list(repository.pulls.values()))
    created = timestamp(repository.created_at)
    return {
        "id": repository.id,
        "node_id": f"R_{repository.id}",
        "name": repository.name,
        "full_name": repository.full_name,
        "private": repository.private,
        "visibility": "private" if repository.private else "public",
        "owner": user_object(at, repository.owner),
        "html_url": page,
        "description": None,
        "fork": repository.fork_of is not None,
        "url": url,
        **{name: url + suffix for name, suffix in REPOSITORY_LINKS.items()},
        "created_at": created,
        "updated_at": created,
        "pushed_at": created,
        "clone_url": f"{page}.git",
        "size": 0,
        "forks_count": 0,
        "archived": False,
        "disabled": False,
        "open_issues_count": open_pulls,
        "license": None,
        "topics": [],
        "default_branch": repository.default_branch,
    }


def pull_request_object(at: Addresses, pull: PullRequest) -> Json:
    """A pull request with its counters, as one GET and every delivery carry it."""
    return pull_request_summary(at, pull) | {
        "merged": pull.merged_at is not None,
        "mergeable": None,
        "mergeable_state": "unknown",
        "merged_by": None,
        "comments": sum(comment.number == pull.number for comment in list(pull.repository.comments.values())),
        "review_comments": 0,
        "maintainer_can_modify": False,
        "commits": 1,
        "additions": 1,
        "deletions": 0,
        "changed_files": 1,
    }


def pull_request_summary(at: Addresses, pull: PullRequest) -> Json:
    """A pull request as lists carry it."""
    return {
        **_pull_request_links(at, pull),
        "id": pull.id,
        "node_id": f"PR_{pull.id}",
        "number": pull.number,
        "state": pull.state,
        "locked": pull.locked,
        "title": pull.title,
        "user": user_object(at, pull.author),
        "body": pull.body,
        "created_at": timestamp(pull.created_at),
        "updated_at": timestamp(pull.updated_at),
        "closed_at": timestamp(pull.closed_at) if pull.closed_at else None,
        "merged_at": timestamp(pull.merged_at) if pull.merged_at else None,
        "merge_commit_sha": pull.merge_commit_sha,
        "assignee": None,
        "assignees": [],
        "requested_reviewers": [],
        "requested_teams": [],
        "labels": [{"name": name} for name in pull.labels],
        "milestone": None,
        "head": _end(at, pull.head_branch, pull.head_sha, pull.head_owner, pull.head_repository),
        "base": _end(at, pull.base_branch, pull.base_sha, pull.repository.owner, pull.repository),
        "author_association": author_association(pull.repository, pull.author),
        "draft": pull.draft,
    }


def author_association(repository: Repository, user: User) -> str:
    """What GitHub calls a user beside a repository. It grants nothing: that is what permissions are for."""
    if user is repository.owner:
        return "OWNER"
    return "COLLABORATOR" if user.login in repository.roles else "NONE"


def permission_object(at: Addresses, repository: Repository, user: User) -> Json:
    """What a user may do in a repository, in the four old words and as a role."""
    return {
        "permission": repository.permission(user),
        "role_name": repository.role(user),
        "user": user_object(at, user),
    }


def comment_object(at: Addresses, repository: Repository, comment: Comment) -> Json:
    """A comment on a pull request."""
    url = at.repository(repository)
    return {
        "url": f"{url}/issues/comments/{comment.id}",
        "html_url": f"{at.web}/{repository.full_name}/pull/{comment.number}#issuecomment-{comment.id}",
        "issue_url": f"{url}/issues/{comment.number}",
        "id": comment.id,
        "node_id": f"IC_{comment.id}",
        "user": user_object(at, comment.user),
        "created_at": timestamp(comment.created_at),
        "updated_at": timestamp(comment.updated_at),
        "author_association": author_association(repository, comment.user),
        "body": comment.body,
    }


def status_object(at: Addresses, repository: Repository, status: CommitStatus) -> Json:
    """A status of a commit."""
    return {
        "url": f"{at.repository(repository)}/statuses/{status.sha}",
        "id": status.id,
        "node_id": f"SC_{status.id}",
        "state": status.state,
        "description": status.description,
        "target_url": status.target_url,
        "context": status.context,
        "created_at": timestamp(status.created_at),
        "updated_at": timestamp(status.created_at),
        "creator": user_object(at, status.creator),
    }


def deployment_object(at: Addresses, repository: Repository, deployment: Deployment) -> Json:
    """A deployment, without its statuses: those have a list of their own."""
    url = f"{at.repository(repository)}/deployments/{deployment.id}"
    return {
        "url": url,
        "id": deployment.id,
        "node_id": f"DE_{deployment.id}",
        "sha": deployment.sha,
        "ref": deployment.ref,
        "task": deployment.task,
        "payload": deployment.payload,
        "original_environment": deployment.environment,
        "environment": deployment.environment,
        "description": deployment.description,
        "creator": user_object(at, deployment.creator),
        "created_at": timestamp(deployment.created_at),
        "updated_at": timestamp(deployment.created_at),
        "statuses_url": f"{url}/statuses",
        "repository_url": at.repository(repository),
        "transient_environment": deployment.transient,
        "production_environment": deployment.production,
    }


def deployment_status_object(
    at: Addresses, repository: Repository, deployment: Deployment, status: DeploymentStatus
) -> Json:
    """A status of a deployment."""
    url = f"{at.repository(repository)}/deployments/{deployment.id}"
    return {
        "url": f"{url}/statuses/{status.id}",
        "id": status.id,
        "node_id": f"DES_{status.id}",
        "state": status.state,
        "creator": user_object(at, status.creator),
        "description": status.description,
        "environment": deployment.environment,
        "target_url": status.log_url,
        "created_at": timestamp(status.created_at),
        "updated_at": timestamp(status.created_at),
        "deployment_url": url,
        "repository_url": at.repository(repository),
        "environment_url": status.environment_url,
        "log_url": status.log_url,
    }


def _pull_request_links(at: Addresses, pull: PullRequest) -> Json:
    repository, page = at.repository(pull.repository), at.pull(pull)
    url, issue = f"{repository}/pulls/{pull.number}", f"{repository}/issues/{pull.number}"
    links = {
        "html": page,
        "issue": issue,
        "comments": f"{issue}/comments",
        "review_comments": f"{url}/comments",
        "review_comment": f"{repository}/pulls/comments{{/number}}",
        "commits": f"{url}/commits",
        "statuses": f"{repository}/statuses/{pull.head_sha}",
    }
    return {
        "url": url,
        **{f"{name}_url": address for name, address in links.items()},
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        "_links": {name: {"href": address} for name, address in {"self": url, **links}.items()},
    }


def _end(at: Addresses, branch: str, sha: str, owner: User, repository: Repository | None) -> Json:
    """The head or the base of a pull request. The repository of a head is null once its fork is deleted."""
    return {
        "label": f"{owner.login}:{branch}",
        "ref": branch,
        "sha": sha,
        "user": user_object(at, owner),
        "repo": None if repository is None else repository_object(at, repository),
    }
