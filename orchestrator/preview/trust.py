"""Who may run what: the one gate. Pure.

It is asked before every side effect, on what the forge says now, never on what a webhook said: a webhook is a hint
that anybody who holds its secret can write.
"""

from dataclasses import dataclass
from typing import Literal

WRITERS = frozenset({"admin", "maintain", "write"})
"""Permissions that let a user push to the repository. `author_association` is not one: a MEMBER may only read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """A pull request as the forge describes it now."""

    repository: int
    repository_name: str
    """`owner/name`, today: it may be renamed."""
    clone_url: str
    number: int
    open: bool
    draft: bool
    title: str
    author: str
    author_is_bot: bool
    head_commit: str
    head_branch: str
    head_repository: int | None
    """None when the fork that it came from was deleted."""
    base_branch: str


@dataclass(frozen=True, slots=True)
class Run:
    """This commit may run."""

    commit: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing may run now. `reason` says why, and what would change it."""

    reason: str
    keeps_serving: bool = False
    """What ran before, with leave, may go on; else it is stopped, for whoever may not run now may not run on."""


@dataclass(frozen=True, slots=True)
class Remove:
    """Nothing should be left. `reason` says why."""

    reason: str


Verdict = Run | Wait | Remove
Permission = Literal["admin", "maintain", "write", "triage", "read", "none"]


def may_run(pull: Pull, author_permission: str) -> Verdict:
    """Decide about a pull request. Rules stand in the order in which a reader would ask them."""
    if not pull.open:
        return Remove("the pull request is closed")
    if pull.head_repository is None:
        return Wait("the fork that it comes from was deleted, so nobody can vouch for its code")
    if pull.head_repository != pull.repository:
        return Wait("it comes from a fork, whose code does not run here without approval")
    if pull.author_is_bot:
        return Wait(f"its author, {pull.author}, is a bot, whose code does not run here without approval")
    if author_permission not in WRITERS:
        return Wait(
            f"its author, {pull.author}, has no write access to the repository "
            f"(GitHub says: {author_permission}), and code of such authors does not run here without approval"
        )
    if pull.draft:
        return Wait("it is a draft; mark it as ready for review and its preview starts", keeps_serving=True)
    return Run(pull.head_commit)
