"""Every case of the corpus is refused at its place, or comes to nothing in the request that the Engine would get."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.check import USUAL_LIMITS
from orchestrator.cli.checkout import Checkout
from orchestrator.compose.check import check
from orchestrator.compose.database import DatabaseUrls
from orchestrator.compose.engine.allowlist import assert_harmless
from orchestrator.compose.engine.request import ServiceLimits, Surroundings, aliases_of, container_body
from orchestrator.compose.inject import Facts
from orchestrator.compose.model import MountKind, Service, Stack
from orchestrator.compose.prepare import prepare
from orchestrator.compose.syntax.load import MAX_BYTES
from orchestrator.preview.errors import ComposeError
from tests.hostile.bombs import bombs
from tests.hostile.cases import CANARY, Body, Case
from tests.hostile.denied import denied, harmless
from tests.hostile.neutral import neutral
from tests.hostile.sections import paths, sections
from tests.support.endless import ends

FACTS = Facts(
    host="pr-1-x.preview.localhost",
    url="https://pr-1-x.preview.localhost",
    pull=1,
    repository="acme/x",
    branch="evil",
    commit="0" * 40,
    secrets={"JWT_SECRET": "s"},
    database=DatabaseUrls(host="db.internal", port=5432, user="u", password="p", database="d"),
)
REFUSED = [*denied(), *sections(), *bombs()]
NEUTRAL = [*neutral()]


def test_the_corpus_is_large_and_every_case_has_a_name_of_its_own(outside: Path) -> None:
    names = [case.name for case in (*REFUSED, *NEUTRAL, *paths(str(outside), "canary.txt"))]
    assert len(names) == len(set(names))
    assert len(names) >= 250


@pytest.mark.parametrize("case", harmless(), ids=lambda case: case.name)
def test_it_is_not_the_form_that_is_refused(case: Case) -> None:
    assert _bodies(case.files)["a"]["HostConfig"]["Init"] is True


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name[:80])
def test_refused(case: Case) -> None:
    with pytest.raises(ComposeError) as caught, ends():
        _bodies(case.files)
    _told_well(caught.value, case)


@pytest.mark.parametrize("case", NEUTRAL, ids=lambda case: case.name[:80])
def test_comes_to_nothing(case: Case) -> None:
    assert case.neutral is not None
    bodies = _bodies(case.files)
    assert case.neutral(bodies["a"])
    assert CANARY not in str(bodies)


def test_no_path_leads_out_of_the_repository(outside: Path) -> None:
    """On a disk, where the file that is asked for exists: what would be read is there to be read."""
    for number, case in enumerate(paths(str(outside), "canary.txt")):
        root = outside / f"repository{number}"
        for path, content in case.files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
        report = check(Checkout(root), None, FACTS, USUAL_LIMITS)
        assert not report.accepted, case.name
        assert CANARY not in str(report), case.name
        assert all(found.place.line for found in report.refusals), (case.name, report.refusals)


def _told_well(error: ComposeError, case: Case) -> None:
    assert error.place.file in case.files
    assert error.place.line or _has_no_lines(case), error
    assert error.remedy or "this must be" in error.what, error
    assert CANARY not in f"{error} {error.remedy}"


def _has_no_lines(case: Case) -> bool:
    """A file that is too large, empty or no text has no line to point at."""
    content = case.files["compose.yaml"]
    return max(map(len, case.files.values())) > MAX_BYTES or not content or b"\xff" in content or b"\0" in content


def _bodies(files: Mapping[str, bytes]) -> dict[str, Body]:
    """The request for each service, judged once more as the launch step does."""
    stack = prepare(files, "compose.yaml", FACTS).stack
    return {name: _body(service, stack) for name, service in stack.services.items()}


def _body(service: Service, stack: Stack) -> dict[str, Any]:
    binds = [mount.source for mount in service.volumes if mount.kind is MountKind.BIND]
    around = Surroundings(
        labels={"dev.previewd.instance": "i", "com.docker.compose.project": "i-1-1"},
        network="pv-net",
        aliases=aliases_of(service),
        binds={path: f"/var/lib/previewd/binds/{path}" for path in binds},
        limits=ServiceLimits(memory_bytes=1 << 30, cpus=1.0, pids=100),
        volume_name=lambda name: f"pv-{name}",
    )
    body = container_body(service, "sha256:image", around)
    assert_harmless(body, around)
    return body
