"""The worker's own steps on hostile repositories: each ends before it asks the Engine for anything."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest

from orchestrator.ports.databases import DatabaseAccess
from orchestrator.preview.errors import ComposeError
from orchestrator.preview.names import Names
from orchestrator.preview.state import PreviewId
from orchestrator.preview.trust import Pull
from orchestrator.runtime.settings import Settings
from orchestrator.store.encryption import DATABASE_PASSWORD
from tests.hostile.cases import Case
from tests.hostile.test_corpus import REFUSED
from tests.support.fake_engine import FakeEngine
from worker.deployment.deployment import JWT_SECRET, Deployment
from worker.steps import build, database, environment, launch

STEPS = (build, database, environment, launch)
SAMPLE = [case for case in REFUSED if case.files.keys() == {"compose.yaml"}][::4]

PULL = Pull(
    repository=1,
    repository_name="acme/shop",
    clone_url="https://example.com/acme/shop.git",
    number=1,
    open=True,
    draft=False,
    title="",
    author="mallory",
    author_is_bot=False,
    head_commit="0" * 40,
    head_branch="evil",
    head_repository=1,
    base_branch="main",
)


class _Sources:
    """One repository's files, as git would give them."""

    def __init__(self, case: Case) -> None:
        self._files = case.files

    async def files(self, *_: object) -> AbstractAsyncContextManager[Mapping[str, bytes]]:
        return nullcontext(self._files)

    async def read(self, _repository: int, _commit: str, paths: Iterable[str]) -> dict[str, bytes]:
        return {path: self._files[path] for path in paths if path in self._files}


class _Databases:
    def access(self, name: str, password: str) -> DatabaseAccess:
        return DatabaseAccess(host="db", port=5432, database=name, role=name, password=password)


def _deployment(case: Case, engine: FakeEngine) -> Deployment:
    """No store, no forge, no gate: a step that asked one of them would fail otherwise than is expected."""
    settings = Settings(_env_file=None)
    context = SimpleNamespace(
        settings=settings,
        engine=engine,
        sources=_Sources(case),
        databases=_Databases(),
        names=lambda preview: Names(instance=settings.instance, preview=preview),
    )
    return Deployment(
        context=cast("Any", context),
        claim=cast("Any", SimpleNamespace(preview=PreviewId(1, 1))),
        gate=cast("Any", None),
        pull=PULL,
        host="pr-1-b.preview.localhost",
        database_name="previewd_1_1",
        number=1,
        journal=cast("Any", None),
        _secrets=_AnySecret({JWT_SECRET: "s", DATABASE_PASSWORD: "p"}),
    )


class _AnySecret(dict[str, str]):
    """Every secret that a file declares was made before."""

    def __missing__(self, name: str) -> str:
        return "s"


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
@pytest.mark.parametrize("case", SAMPLE, ids=lambda case: case.name[:80])
async def test_no_step_gets_as_far_as_the_engine(case: Case, step: ModuleType) -> None:
    engine = FakeEngine()
    with pytest.raises(ComposeError):
        await step.run(_deployment(case, engine))
    assert engine.calls == []
