"""What the stand-in knows: users, repositories, pull requests, comments, statuses, deployments, tokens.

Changed by the control API on the caller's thread and by REST calls on the server's. Single assignments and
single dictionary operations are atomic; whoever iterates does so over a copy.
"""

import itertools
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

LEGACY_PERMISSIONS = {"maintain": "write", "triage": "read"}
"""The permission endpoint knows four words; newer roles are reported as the nearest of them."""


def now() -> datetime:
    """Read the clock in whole seconds, as GitHub writes its times."""
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(slots=True, kw_only=True, eq=False)
class User:
    """An account."""

    id: int
    login: str

    @property
    def type(self) -> str:
        """`Bot` for the accounts of Apps, whose logins end in [bot]."""
        return "Bot" if self.login.endswith("[bot]") else "User"


@dataclass(slots=True, kw_only=True, eq=False)
class Comment:
    """A comment on a pull request (which GitHub files under issues)."""

    id: int
    number: int
    user: User
    body: str
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)


@dataclass(slots=True, kw_only=True, eq=False)
class CommitStatus:
    """One mark on a commit. A newer one with the same context stands in front of the older."""

    id: int
    sha: str
    state: str
    context: str
    description: str | None
    target_url: str | None
    creator: User
    created_at: datetime = field(default_factory=now)


@dataclass(slots=True, kw_only=True, eq=False)
class DeploymentStatus:
    """One step in the life of a deployment."""

    id: int
    state: str
    description: str
    environment_url: str
    log_url: str
    creator: User
    created_at: datetime = field(default_factory=now)


@dataclass(slots=True, kw_only=True, eq=False)
class Deployment:
    """A commit that was, or is, served in a named environment. `statuses` is in order of creation."""

    id: int
    ref: str
    sha: str
    environment: str
    task: str
    description: str | None
    transient: bool
    production: bool
    creator: User
    payload: object = ""
    created_at: datetime = field(default_factory=now)
    statuses: list[DeploymentStatus] = field(default_factory=list)

    @property
    def active(self) -> bool:
        """Whether GitHub would refuse to delete it beside others."""
        return not self.statuses or self.statuses[-1].state != "inactive"


@dataclass(slots=True, kw_only=True, eq=False)
class PullRequest:
    """A request to merge a branch, perhaps of a fork. `head_repository` is None once the fork is deleted."""

    id: int
    number: int
    repository: "Repository"
    head_repository: "Repository | None"
    head_owner: User
    head_branch: str
    head_sha: str
    base_branch: str
    base_sha: str
    author: User
    title: str
    body: str | None
    draft: bool
    state: str = "open"
    locked: bool = False
    labels: list[str] = field(default_factory=list)
    merge_commit_sha: str | None = None
    merged_at: datetime | None = None
    closed_at: datetime | None = None
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)

    @property
    def ref(self) -> str:
        """The ref in the base repository that follows the head, also when the head is in a fork."""
        return f"refs/pull/{self.number}/head"


@dataclass(slots=True, kw_only=True, eq=False)
class Repository:
    """A repository and all that is filed under it. `roles` holds what was granted, by login."""

    id: int
    owner: User
    name: str
    private: bool
    default_branch: str = "main"
    fork_of: "Repository | None" = None
    created_at: datetime = field(default_factory=now)
    roles: dict[str, str] = field(default_factory=dict)
    pulls: dict[int, PullRequest] = field(default_factory=dict)
    comments: dict[int, Comment] = field(default_factory=dict)
    statuses: list[CommitStatus] = field(default_factory=list)
    deployments: dict[int, Deployment] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        return f"{self.owner.login}/{self.name}"

    def role(self, user: User) -> str:
        """What this user may do: the owner everything, others what was granted or what the public may."""
        if user is self.owner:
            return "admin"
        return self.roles.get(user.login, "none" if self.private else "read")

    def permission(self, user: User) -> str:
        """The role in the four words of old."""
        role = self.role(user)
        return LEGACY_PERMISSIONS.get(role, role)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """Whom an access token speaks for, and until when (None: for good)."""

    user: User
    expires_at: datetime | None = None
    covers: frozenset[int] | None = None
    """Repositories that it was narrowed to, None for all."""


@dataclass(slots=True, kw_only=True, eq=False)
class Installation:
    """The App on an account, which covers all of its repositories but those that were taken from it."""

    id: int
    suspended_at: datetime | None = None
    excluded: set[int] = field(default_factory=set)


@dataclass(slots=True, kw_only=True, eq=False)
class State:
    """Everything, by the keys under which the API finds it."""

    installation: Installation | None = None
    token_lifetime: timedelta = timedelta(hours=1)
    """Of an installation's token."""
    forbidden: set[str] = field(default_factory=set)
    """Permissions that the App and its tokens lack: `deployments`, `statuses` or `issues`."""
    former_names: dict[str, Repository] = field(default_factory=dict)
    """Names in small letters under which repositories were known before; GitHub sends on from there."""
    users: dict[str, User] = field(default_factory=dict)
    repositories: dict[int, Repository] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1000))

    def next_id(self) -> int:
        """Number things of all kinds from one sequence, so that no test passes by mixing two up."""
        return next(self._ids)

    def user(self, login: str) -> User:
        """Find an account, or open it."""
        return self.users.get(login) or self.users.setdefault(login, User(id=self.next_id(), login=login))

    def repository(self, full_name: str) -> Repository | None:
        """Find a repository by `owner/name`; upper and lower case are the same, as on GitHub."""
        wanted = full_name.lower()
        return next((found for found in list(self.repositories.values()) if found.full_name.lower() == wanted), None)

    def issue_token(self, login: str, expires_at: datetime | None = None, covers: frozenset[int] | None = None) -> str:
        """Make an access token for an account."""
        value = f"ghs_{secrets.token_hex(18)}"
        self.tokens[value] = Token(user=self.user(login), expires_at=expires_at, covers=covers)
        return value

    def end_tokens(self) -> None:
        """Let the tokens of installations, which are those that expire, be good no more."""
        for value, token in list(self.tokens.items()):
            if token.expires_at is not None:
                del self.tokens[value]

    def bearer(self, value: str) -> User | None:
        """Name the account that a token speaks for, None when there is no such token or it is too old."""
        token = self.tokens.get(value)
        if token is None or (token.expires_at is not None and token.expires_at <= now()):
            return None
        return token.user
