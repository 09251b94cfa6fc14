"""Reading a commit's stack: which files are read, what is generated, and what bounds it."""

import threading
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from types import SimpleNamespace
from typing import cast

import pytest

from orchestrator.ports.databases import DatabaseAccess
from orchestrator.preview.errors import AuthorError, ComposeError
from worker.deployment import commit_files
from worker.deployment import stack as stack_module
from worker.deployment.deployment import Deployment
from worker.deployment.stack import read_stack


class Repository(dict[str, bytes]):
    """The files of one commit, the paths of its links, and what was read of it."""

    def __init__(self, files: dict[str, str], *, links: Iterable[str] = ()) -> None:
        super().__init__({path: text.encode() for path, text in files.items()})
        self._links = list(links)
        self.read: list[str] = []

    def __getitem__(self, path: str) -> bytes:
        self.read.append(path)
        return super().__getitem__(path)

    async def paths(self, repository: int, commit: str) -> list[str]:  # noqa: ARG002
        return [*self, *self._links]

    async def files(self, repository: int, commit: str) -> AbstractAsyncContextManager[Mapping[str, bytes]]:  # noqa: ARG002
        return nullcontext(self)


def deployment_of(repository: Repository) -> Deployment:
    """As much of a deployment as reading needs."""

    async def database() -> DatabaseAccess:
        return DatabaseAccess(host="h", port=5432, database="d", role="r", password="p")

    async def secrets(names: Iterable[str]) -> dict[str, str]:
        return dict.fromkeys(names, "s")

    async def say(_: str) -> None:
        """Nobody reads it."""

    context = SimpleNamespace(sources=repository, settings=SimpleNamespace(preview_url=lambda host: f"https://{host}"))
    pull = SimpleNamespace(repository=1, number=1, repository_name="a/b", head_branch="b")
    found = SimpleNamespace(
        prepared=None,
        context=context,
        pull=pull,
        commit="c",
        host="h",
        database=database,
        secrets=secrets,
        journal=SimpleNamespace(say=say),
    )
    return cast("Deployment", found)


async def test_every_file_that_is_named_is_read_and_no_other_once() -> None:
    names = [f"{index}.env" for index in range(30)]
    repository = Repository(
        {
            "Dockerfile": "FROM x\n",
            "compose.yaml": "include: [more/compose.yaml]\n"
            "services:\n  a:\n    build: .\n    extends: {file: base.yaml, service: b}\n"
            f"    env_file: [{', '.join(names)}]\n",
            "base.yaml": "services: {b: {env_file: base.env}}\n",
            "base.env": "BASE=1\n",
            "more/compose.yaml": "services: {m: {image: x, env_file: m.env}}\n",
            "more/m.env": "M=1\n",
            ".env": "SET=1\n",
            "unused.env": "",
            **{name: f"N{name.partition('.')[0]}=1\n" for name in names},
        }
    )
    stack, _ = await read_stack(deployment_of(repository))
    assert stack.services["a"].environment.keys() >= {"N0", "N29", "BASE"}
    assert stack.services["m"].environment["M"] == "1"
    assert sorted(repository.read) == sorted(repository.keys() - {"unused.env", "Dockerfile"})


async def test_files_that_variables_name_are_read_however_many() -> None:
    count = 60
    names = ", ".join(f"'${{V}}{index}.env'" for index in range(count))
    repository = Repository(
        {
            "Dockerfile": "FROM x\n",
            "compose.yaml": f"services: {{a: {{build: ., env_file: [{names}]}}}}\n",
            ".env": "V=v\n",
            **{f"v{index}.env": f"A{index}=1\n" for index in range(count)},
        }
    )
    stack, _ = await read_stack(deployment_of(repository))
    assert stack.services["a"].environment.keys() >= {f"A{index}" for index in range(count)}


async def test_a_link_is_not_there() -> None:
    files = {"compose.yaml": "services: {a: {build: ., env_file: [x.env]}}\n", "Dockerfile": "FROM x\n"}
    stack, _ = await read_stack(deployment_of(Repository(files, links=["x.env"])))
    assert any("x.env is not in the repository" in warning for warning in stack.warnings)


APP = {"requirements.txt": "fastapi\nuvicorn\n", "main.py": "from fastapi import FastAPI\napp = FastAPI()\n"}


@pytest.mark.parametrize(
    ("files", "link"),
    [
        ({}, "compose.yaml"),
        ({}, "docker-compose.preview.yml"),
        ({}, "Dockerfile"),
        ({"compose.yaml": "services: {a: {build: .}}\n"}, "Dockerfile"),
    ],
)
async def test_nothing_is_generated_in_place_of_a_link(files: dict[str, str], link: str) -> None:
    read = await read_stack(deployment_of(Repository(APP | files)))
    assert any("generated" in note for note in read[0].notes), "it would be, if there were no link"
    with pytest.raises(ComposeError, match=f"^{link}: it is a symbolic link"):
        await read_stack(deployment_of(Repository(APP | files, links=[link])))


async def test_reading_is_done_beside_the_worker_and_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held, threads = threading.Event(), list[str]()

    def prepare(*_: object) -> None:
        threads.append(threading.current_thread().name)
        held.wait(30)

    monkeypatch.setattr(stack_module, "prepare", prepare)
    monkeypatch.setattr(commit_files, "MAX_SECONDS", 0.05)
    try:
        with pytest.raises(AuthorError, match="takes longer than"):
            await read_stack(deployment_of(Repository({"compose.yaml": "services: {a: {image: x}}\n"})))
    finally:
        held.set()
    assert threads != [threading.main_thread().name]


async def test_a_mistake_comes_out_as_it_is() -> None:
    with pytest.raises(ComposeError, match="unknown key `imag`"):
        await read_stack(deployment_of(Repository({"compose.yaml": "services: {a: {imag: x}}\n"})))
