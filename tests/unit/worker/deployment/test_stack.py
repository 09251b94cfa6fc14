"""Reading a commit's stack: which files are fetched, in how many steps, and what bounds it."""

import threading
from collections.abc import Iterable
from types import SimpleNamespace
from typing import cast

import pytest

from orchestrator.compose.project.named_files import named_files
from orchestrator.ports.databases import DatabaseAccess
from orchestrator.preview.errors import AuthorError, ComposeError
from worker.deployment import commit_files
from worker.deployment import stack as stack_module
from worker.deployment.deployment import Deployment
from worker.deployment.stack import read_stack


class Repository:
    """The files of one commit, and every question that was asked for them."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files = {path: text.encode() for path, text in ({"Dockerfile": "FROM x\n"} | files).items()}
        self.asked: list[set[str]] = []

    async def paths(self, repository: int, commit: str) -> list[str]:  # noqa: ARG002
        return list(self.files)

    async def read(self, repository: int, commit: str, paths: Iterable[str]) -> dict[str, bytes]:  # noqa: ARG002
        self.asked.append(set(paths))
        return {path: self.files[path] for path in paths if not path.endswith(".link")}


def deployment_of(repository: Repository) -> Deployment:
    """As much of a deployment as reading needs."""

    async def database() -> DatabaseAccess:
        return DatabaseAccess(host="h", port=5432, database="d", role="r", password="p")

    async def secrets(names: Iterable[str]) -> dict[str, str]:
        return dict.fromkeys(names, "s")

    context = SimpleNamespace(sources=repository, settings=SimpleNamespace(preview_url=lambda host: f"https://{host}"))
    pull = SimpleNamespace(repository=1, number=1, repository_name="a/b", head_branch="b")
    found = SimpleNamespace(
        prepared=None, context=context, pull=pull, commit="c", host="h", database=database, secrets=secrets
    )
    return cast("Deployment", found)


async def test_what_is_named_together_is_fetched_together() -> None:
    names = [f"{index}.env" for index in range(30)]
    repository = Repository(
        {
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
    assert len(repository.asked) <= 3
    assert not any("unused.env" in asked for asked in repository.asked)


async def test_a_name_that_a_variable_completes_is_asked_for_by_itself() -> None:
    repository = Repository(
        {
            "compose.yaml": "services: {a: {build: ., env_file: '${WHICH}.env'}}\n",
            ".env": "WHICH=two\n",
            "two.env": "A=1\n",
        }
    )
    stack, _ = await read_stack(deployment_of(repository))
    assert stack.services["a"].environment["A"] == "1"


async def test_what_is_no_regular_file_is_not_there() -> None:
    files = {"compose.yaml": "services: {a: {build: ., env_file: [x.link]}}\n", "x.link": ""}
    stack, _ = await read_stack(deployment_of(Repository(files)))
    assert any("x.link is not in the repository" in warning for warning in stack.warnings)


async def test_files_that_name_one_another_without_end_are_refused() -> None:
    count = commit_files.MAX_ROUNDS + 10
    names = ", ".join(f"'${{V}}{index}.env'" for index in range(count))
    files = {
        "compose.yaml": f"services: {{a: {{build: ., env_file: [{names}]}}}}\n",
        ".env": "V=v\n",
        **{f"v{index}.env": "" for index in range(count)},
    }
    with pytest.raises(AuthorError, match="more than 40 steps"):
        await read_stack(deployment_of(Repository(files)))


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
            await read_stack(deployment_of(Repository({"compose.yaml": "services: {a: {build: .}}\n"})))
    finally:
        held.set()
    assert threads != [threading.main_thread().name]


async def test_a_mistake_comes_out_as_it_is() -> None:
    with pytest.raises(ComposeError, match="unknown key `imag`"):
        await read_stack(deployment_of(Repository({"compose.yaml": "services: {a: {imag: x}}\n"})))


def test_what_cannot_be_read_names_nothing() -> None:
    assert (
        named_files(["a.env"], {"compose.yaml": b"\xff", "b.yaml": b"a: [", "c.yaml": b"env_file: $${", "d": b""})
        == set()
    )


def test_a_path_is_looked_for_beside_the_file_and_at_the_root() -> None:
    fetched = {"x/compose.yaml": b"include: [{path: [./a.yaml, ../b.yaml]}, c.yaml, '/etc/d.yaml']\nx-y: e.yaml\n"}
    paths = {"x/a.yaml", "b.yaml", "c.yaml", "e.yaml", "x/.env", "x/compose.yaml"}
    assert named_files(paths, fetched) == {"x/a.yaml", "b.yaml", "c.yaml", "x/.env"}
