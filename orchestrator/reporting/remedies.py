"""What the last lines of a failed application say about the remedy. Pure; knows the usual faults."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.codebase.alembic.revisions import MigrationTree, diagnose


@dataclass(frozen=True, slots=True)
class _Rule:
    """A fault by its traces in the output. `{0}` in the remedy is what the pattern found."""

    pattern: str
    remedy: str
    names_a_field: bool = False
    """What was found is a field of pydantic-settings: the variable is its name in capitals."""


_RULES = (
    _Rule(
        r'error parsing value for field "(\w+)" from source "EnvSettingsSource"',
        "pydantic-settings reads a list from JSON only: add `x-preview: {{encode: {{{0}: json}}}}` to the Compose "
        "file, or let the application's settings split {0} at commas",
        names_a_field=True,
    ),
    _Rule(
        r"(?m)^\s*(\w+)\n\s+Field required \[type=missing",
        "the application needs the variable {0}: set it under `environment:`, or add it to `x-preview.secrets`",
        names_a_field=True,
    ),
    _Rule(
        r'relation "([\w.]+)" does not exist',
        "the table {0} is missing: nothing migrated the preview's database, which starts empty; run the migrations "
        "before the application, as in `command: sh -c 'alembic upgrade head && uvicorn …'`",
    ),
    _Rule(
        r"No module named '(psycopg2?|asyncpg|pg8000)'",
        "the database URL asks for the driver {0}, which the image does not have: install it, or name the one that "
        "it has as `x-preview.database.driver`",
    ),
    _Rule(
        r"connect\(\) got an unexpected keyword argument '(sslmode|channel_binding|options)'",
        "asyncpg does not know `{0}`, which is psycopg's: write `ssl=` in the URL's query, or leave it out",
    ),
    _Rule(
        r"The asyncio extension requires an async driver|greenlet_spawn has not been called",
        "asynchronous code was given a URL with a synchronous driver: `x-preview.database.driver: asyncpg` changes it",
    ),
    _Rule(r"exec format error", "the image is for another processor, or its entrypoint has no `#!` line"),
    _Rule(
        r"exec:? \"?([\w./-]+)\"?: permission denied",
        "{0} is not executable: `git update-index --chmod=+x {0}`, or start it through its interpreter",
    ),
    _Rule(
        r"Uvicorn running on http://(?:127\.0\.0\.1|localhost):(\d+)",
        "the application listens on 127.0.0.1, which nobody outside its container reaches: start it with "
        "`--host 0.0.0.0`",
    ),
)


_SEVERAL_HEADS = re.compile(r"Multiple head revisions are present|Multiple heads are present")
_UNKNOWN_REVISION = re.compile(r"Can't locate revision identified by '([\w-]+)'|No such revision or branch '([\w-]+)'")
_NO_VERSIONS = re.compile(r'relation "alembic_version" does not exist')
_NO_CONNECTIONS = re.compile(
    r"too many connections for (?:role|database)|remaining connection slots are reserved|too many clients already"
)


def remedy_for(lines: Sequence[str], tree: MigrationTree | None, connections: int) -> str:
    """The remedy that the output, the commit's migrations and the role's limit suggest; empty for none."""
    text = "\n".join(lines)
    return _of_the_database(text, tree, connections) or _of_a_usual_fault(text)


def _of_the_database(text: str, tree: MigrationTree | None, connections: int) -> str:
    faults = diagnose(tree) if tree is not None else ()
    if _SEVERAL_HEADS.search(text):
        found = " ".join(f"{fault.place}: {fault.message}. {fault.remedy}" for fault in faults)
        return found or "several migrations are heads: join them with `alembic merge heads`"
    if missing := _UNKNOWN_REVISION.search(text):
        revision = missing[1] or missing[2]
        return (
            f"the database is at revision {revision}, or a migration comes after it, and no file of this commit has "
            "it: bring its file back, or reset the preview's database"
        )
    if _NO_VERSIONS.search(text):
        return (
            "the database has no table alembic_version: no migration of Alembic was ever applied to it; run "
            "`alembic upgrade head` before the application starts"
        )
    if _NO_CONNECTIONS.search(text):
        return (
            f"the application wants more than the {connections} connections of its role: (pool_size + max_overflow) × "
            f"workers must be at most {connections}, old and new containers together while one replaces the other; "
            "make its pool smaller, or have PREVIEWD_CONNECTIONS_PER_PREVIEW raised"
        )
    return ""


def _of_a_usual_fault(text: str) -> str:
    """The first rule that fits decides."""
    for rule in _RULES:
        found = re.search(rule.pattern, text)
        if found:
            groups = [group.upper() for group in found.groups()] if rule.names_a_field else found.groups()
            return rule.remedy.format(*groups)
    return ""
