"""The forge (GitHub), as the worker needs it."""

from dataclasses import dataclass
from typing import Protocol

from orchestrator.preview.trust import Pull


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgeDeployment:
    """One deployment, as the forge is to show it."""

    environment: str
    commit: str
    state: str
    """`queued`, `in_progress`, `success`, `failure` or `inactive`."""
    description: str
    url: str
    """Where the environment answers; empty when it does not."""
    log_url: str
    marker: str
    """By which it is found again; the forge shows it to whoever asks for a deployment's payload."""

    @property
    def said(self) -> str:
        return f"{self.state}\n{self.description}\n{self.url}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A branch of a repository, as it is now."""

    repository_name: str
    """`owner/name`, today: it may be renamed."""
    clone_url: str
    name: str
    commit: str


class Forge(Protocol):
    """GitHub, as far as previewd needs it. Every method may raise ForgeUnavailable."""

    async def fault(self) -> str:
        """What is wrong with it, as its last answer says, or nothing. It is not asked while all is well."""

    async def pull(self, repository: int, number: int) -> Pull | None:
        """None when the pull request, or our access to it, is gone."""

    async def permission(self, repository: int, user: str) -> str:
        """`admin`, `maintain`, `write`, `triage`, `read` or `none`."""

    async def branch(self, repository: int, name: str) -> Branch | None:
        """None when the branch, or our access to its repository, is gone."""

    async def is_ancestor(self, repository: int, older: str, newer: str) -> bool:
        """Whether `newer` was made on top of `older`; False also when the forge has forgotten one of the two."""

    async def open_pulls(self, repository: int) -> list[Pull]: ...
    async def repositories(self) -> list[int]:
        """Every repository that we are installed on; empty when that cannot be known (a plain token)."""

    def write_delay(self, *, final: bool) -> float:
        """Seconds until the forge may be written to: 0 for now. What is not `final` leaves room for what is."""

    async def put_comment(self, repository: int, number: int, marker: str, body: str, known: int | None) -> int | None:
        """Make our comment say `body` and return its id.

        `known` is the id from last time; without it, or when it was deleted, the comment is found by `marker` or
        written anew. None when the pull request takes no comments (locked). Raises ForgeGone, and OperatorError when
        we may not comment.
        """

    async def put_status(self, repository: int, commit: str, state: str, description: str, url: str) -> None:
        """Set the commit status `previewd`. `state` is `pending`, `success`, `failure` or `error`.

        Nothing happens when there is no such commit any more. Raises ForgeGone, and OperatorError when we may not.
        """

    async def put_deployment(self, repository: int, deployment: ForgeDeployment, known: int | None) -> int | None:
        """Let the forge show a deployment so, and return its id; it is made when there is none, unless it is inactive.

        `known` is the id from last time; without it, or when it was deleted, it is found by its marker. None when
        there is nothing to show it of, or we may not write deployments: previews do without.
        """

    async def clone_token(self, repository: int) -> str:
        """A token for fetching, empty when none is needed."""
