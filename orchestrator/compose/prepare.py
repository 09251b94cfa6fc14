"""A repository and what is known of its preview, to the stack that starts: read, place the database, inject.

Pure, and the one function that most callers want. It reads the file twice, because the driver and the port that the
file asks for decide the values of DATABASE_URL and PORT, which the file may use again.
"""

from collections.abc import Mapping
from dataclasses import replace

from orchestrator.compose.database import DatabaseUrls, driver_asked, rewrite
from orchestrator.compose.inject import Facts, inject, injected
from orchestrator.compose.model import DatabaseMode, Stack
from orchestrator.compose.read import read
from orchestrator.compose.route import Route, route


def prepare(files: Mapping[str, bytes], path: str, facts: Facts) -> tuple[Stack, Route]:
    """The stack as it starts, with its database and variables in place, and where requests go."""
    first = read(files, path, injected(facts))
    managed = first.preview.database.mode is DatabaseMode.MANAGED
    database = facts.database if managed else None
    known = replace(
        facts,
        database=database,
        driver=driver_asked(first) or facts.driver,
        port=facts.port or route(_placed(first, database)).port,
    )
    values = injected(known)
    stack = _placed(read(files, path, values), database)
    return inject(stack, values), route(stack)


def _placed(stack: Stack, database: DatabaseUrls | None) -> Stack:
    return stack if database is None else rewrite(stack, database)
