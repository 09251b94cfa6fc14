"""What the last lines of a failed application say about the remedy. Pure; knows the usual FastAPI and Postgres faults."""

import re
from collections.abc import Sequence

_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r'error parsing value for field "(\w+)" from source "EnvSettingsSource"'),
        ("pydantic-settings reads a list from JSON only: add `x-preview: {{encode: {{{0}: json}}}}` to the Compose file, "
        "or let the application's settings split {0} at commas"),
    ),
    (
        re.compile(r"^\s*(\w+)\n\s+Field required \[type=missing", re.MULTILINE),
        "the application needs the variable {0}: set it under `environment:`, or add it to `x-preview.secrets`",
    ),
    (
        re.compile(r'relation "([\w.]+)" does not exist'),
        ("the table {0} is missing: nothing migrated the preview's database, which starts empty; "
        "run the migrations before the application, as in `command: sh -c 'alembic upgrade head && uvicorn …'`"),
    ),
    (
        re.compile(r"No module named '(psycopg2?|asyncpg|pg8000)'"),
        ("the database URL asks for the driver {0}, which the image does not have: install it, or name the one that it "
        "has as `x-preview.database.driver`"),
    ),
    (
        re.compile(r"exec format error"),
        "the image is for another processor, or its entrypoint has no `#!` line",
    ),
    (
        re.compile(r"exec:? \"?([\w./-]+)\"?: permission denied"),
        "{0} is not executable: `git update-index --chmod=+x {0}`, or start it through its interpreter",
    ),
    (
        re.compile(r"Uvicorn running on http://(?:127\.0\.0\.1|localhost):(\d+)"),
        ("the application listens on 127.0.0.1, which nobody outside its container reaches: start it with "
        "`--host 0.0.0.0`"),
    ),
)


def remedy_for(lines: Sequence[str]) -> str:
    """The remedy that the output suggests, or nothing. The first rule that fits decides."""
    text = "\n".join(lines)
    for pattern, remedy in _RULES:
        found = pattern.search(text)
        if found:
            return remedy.format(*found.groups())
    return ""
