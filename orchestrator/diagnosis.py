"""What the last lines of a failed application say about the remedy. Pure; knows the usual faults."""

import re
from collections.abc import Sequence
from dataclasses import dataclass


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


def remedy_for(lines: Sequence[str]) -> str:
    """The remedy that the output suggests, or nothing. The first rule that fits decides."""
    text = "\n".join(lines)
    for rule in _RULES:
        found = re.search(rule.pattern, text)
        if found:
            groups = [group.upper() for group in found.groups()] if rule.names_a_field else found.groups()
            return rule.remedy.format(*groups)
    return ""
