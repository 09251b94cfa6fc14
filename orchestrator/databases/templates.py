"""What a preview's database is made of, and when it is made anew. Pure: the database step asks, and acts.

A copy of the base branch's template is taken when this commit could have made it: all of its revisions are known here,
and each migration that made it still reads as it did.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from orchestrator.codebase.alembic.revisions import MigrationTree, applied, is_known
from orchestrator.databases.limits import MIB
from orchestrator.databases.resets import digest

SMALL_BYTES = 64 * MIB
"""Up to here copying through the write-ahead log is the fastest (measured on 15 and 18: 0.04 s instead of 0.1 s at 8
MiB, even at 64): a copy of files waits for two checkpoints of the whole server. Above, the log would be flooded."""

_CLONE_SINCE = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A database to copy previews' databases from."""

    name: str
    repository: int
    made_of: Mapping[str, str] | None
    """What was said of it when it was finished; None while it is being filled."""
    spare: bool = False
    """Whether a copy lies ready for the next preview."""


COMMIT_LENGTH = 7

_BRANCH_LENGTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a new database begins as."""

    source: str | None
    """The database to copy; None for an empty one."""
    said: str
    """It and the reason, for people."""


def made_of(branch: str, commit: str, tree: MigrationTree, revisions: Collection[str]) -> Mapping[str, str]:
    """What a template says of itself: hashes and revisions, for every tenant of the server can read it."""
    return {
        "branch": branch_hash(branch),
        "commit": commit,
        "revisions": " ".join(sorted(revisions)),
        "migrations": digest(tree, revisions),
    }


def branch_hash(branch: str) -> str:
    return hashlib.sha256(branch.encode()).hexdigest()[:_BRANCH_LENGTH]


def of_branch(templates: Iterable[Template], repository: int, branch: str) -> list[tuple[Template, Mapping[str, str]]]:
    """The finished templates of a base branch, with what they say of themselves."""
    return [
        (template, template.made_of)
        for template in templates
        if template.repository == repository and template.made_of and template.made_of["branch"] == branch_hash(branch)
    ]


def origin(templates: Iterable[Template], repository: int, branch: str, tree: MigrationTree) -> Origin | None:
    """A template's copy, or nothing and why a copy would not do; None when the branch has no template."""
    found = of_branch(templates, repository, branch)
    if not found:
        return None
    template, facts = found[-1]
    revisions = facts["revisions"].split()
    unknown = [revision for revision in revisions if not is_known(tree, revision)]
    if not revisions:
        return Origin(source=None, said=f"empty: {branch}'s template was left without any revision of Alembic")
    if unknown:
        return Origin(
            source=None,
            said=f"empty: {branch}'s template is at revision {', '.join(unknown)}, which this commit does not know",
        )
    if facts["migrations"] != digest(tree, revisions):
        return Origin(source=None, said=f"empty: this commit changes migrations that made {branch}'s template")
    count = len(applied(tree, revisions))
    return Origin(
        source=template.name,
        said=f"copied from {branch} at {facts['commit'][:COMMIT_LENGTH]} ({count} revision{'' if count == 1 else 's'})",
    )


def strategy(size: int) -> str:
    """The strategy of CREATE DATABASE that copies `size` bytes the fastest."""
    return "wal_log" if size <= SMALL_BYTES else "file_copy"


def can_clone(major: int) -> bool:
    """Whether the server can have files share their blocks, where the filesystem can (`file_copy_method`)."""
    return major >= _CLONE_SINCE
