"""The same reading: every project of the table, and a run of generated ones, read by us as Compose reads them."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.oracle.cases import cases
from tests.oracle.compare import disagreement
from tests.oracle.exceptions import EXCEPTIONS
from tests.oracle.fuzz import EXAMPLES, examine
from tests.unit.compose.oracle import binary

pytestmark = pytest.mark.skipif(binary() is None, reason="no Compose binary in this environment")


def test_every_case_is_read_as_compose_reads_it() -> None:
    table = dict(cases())
    assert len(table) >= 600
    assert EXCEPTIONS.keys() <= table.keys()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(zip(table, pool.map(disagreement, table.values()), strict=True))
    differing = {name: text for name, text in found.items() if text}
    unknown = {name: text for name, text in differing.items() if name not in EXCEPTIONS}
    assert not unknown, "\n\n".join(f"{name}\n{text}" for name, text in unknown.items())
    assert EXCEPTIONS.keys() == differing.keys(), "a case that is excepted agrees by now"


def test_generated_projects_are_read_as_compose_reads_them() -> None:
    assert examine(EXAMPLES) >= EXAMPLES
