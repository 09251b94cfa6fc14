"""When a preview's database is made anew. Pure; the worker's database step asks."""

import hashlib
from collections.abc import Collection, Mapping

from orchestrator.codebase.alembic.revisions import MigrationTree, drift, heads, is_known, recorded
from orchestrator.compose.model import Reset

ASKED_FOR = "it was asked for"
"""The reason for a new database when a person wants one."""


def digests(tree: MigrationTree | None) -> Mapping[str, str]:
    """Path to digest of all that a tree holds."""
    return {} if tree is None else {migration.path: migration.digest for migration in tree.migrations.values()}


def will_migrate(tree: MigrationTree, revisions: Collection[str] | None) -> bool:
    """Whether a database that is at these revisions lacks one of the tree's. Of an unknown one it must be assumed."""
    return revisions is None or any(head.id not in revisions for head in heads(tree))


def changed_migrations(record: Mapping[str, str], tree: MigrationTree | None, revisions: Collection[str] | None) -> str:
    """What of the migrations that a database has had is not as it was, in words; empty when all of it is."""
    if tree is not None and revisions is not None and all(is_known(tree, revision) for revision in revisions):
        had = _had_otherwise(record, tree, revisions)
        return f"{', '.join(sorted(had))} changed after it had been applied" if had and record else ""
    found = drift(record, tree)
    if found.changed:
        return f"{', '.join(found.changed)} changed after it had been applied"
    if found.removed:
        return f"{', '.join(found.removed)} was applied, and is gone"
    return ""


def _had_otherwise(record: Mapping[str, str], tree: MigrationTree, revisions: Collection[str]) -> set[str]:
    """The applied migrations that are not as they were recorded. What was never applied may be edited.

    One that the record lacks altogether was applied after it: the record is from a dump of our own state. Only where
    a recorded one is gone may it be that one under another name.
    """
    may_be_another = not set(record.values()) <= set(digests(tree).values())
    unrecorded = {path: d for path, d in recorded(tree, revisions).items() if d not in record.values()}
    return {path for path in unrecorded if path in record or may_be_another}


def asks_for_descent(policy: Reset | None) -> bool:
    """Whether the decision needs to know if a push was made on top of the commit before it."""
    return policy is Reset.ON_FORCE_PUSH


def reset_reason(policy: Reset | None, *, requested: bool, is_new: bool, follows: bool, changed: str) -> str:
    """Why the database is made anew, in words; empty when it keeps its data.

    `is_new` is another commit than the last one, `follows` one on top of it, `changed` the words of
    `changed_migrations`.
    """
    if requested:
        return ASKED_FOR
    match policy or Reset.ON_MIGRATION_CHANGE:
        case Reset.NEVER:
            return ""
        case Reset.ALWAYS:
            return "x-preview.database.reset asks for a new one with every push" if is_new else ""
        case Reset.ON_FORCE_PUSH:
            return "" if follows else "the branch was pushed with force"
        case Reset.ON_MIGRATION_CHANGE:
            return changed


def digest(tree: MigrationTree, revisions: Collection[str]) -> str:
    """Of the migrations that lead to these revisions, whatever their files are called."""
    return hashlib.sha256("".join(sorted(recorded(tree, revisions).values())).encode()).hexdigest()[:32]
