"""A commit's files, fetched as pure code asks for them: code in batches and up to an end, other files by themselves."""

from collections.abc import Callable, Iterable, Mapping
from typing import cast

import pytest

from orchestrator.ports.sources import Sources
from worker.deployment import commit_files
from worker.deployment.commit_files import RepositoryFiles

PATHS = ("compose.yaml", "app/database.py", "requirements.txt", "alembic/versions/1.py", "README.md")
CODE = {"app/database.py", "requirements.txt", "alembic/versions/1.py"}


class Repository:
    """Files, those of them that are links, and what was asked for."""

    def __init__(self, paths: Iterable[str], *, links: Iterable[str] = ()) -> None:
        self._contents = dict.fromkeys(paths, b"0123456789")
        self._links = frozenset(links)
        self.asked: list[set[str]] = []

    def files(self) -> RepositoryFiles:
        return RepositoryFiles(cast("Sources", self), 1, "a" * 40, self._contents)

    async def read(self, repository: int, commit: str, paths: Iterable[str]) -> dict[str, bytes]:  # noqa: ARG002
        self.asked.append(set(paths))
        return {path: self._contents[path] for path in self.asked[-1] - self._links}


def reading(files: Mapping[str, bytes], path: str) -> Callable[[], bytes]:
    return lambda: files.get(path, b"none")


def reading_all(files: Mapping[str, bytes], paths: Iterable[str]) -> Callable[[], list[str]]:
    """Which of these have contents."""
    return lambda: [path for path in paths if files.get(path) is not None]


async def test_a_file_of_the_code_is_read_with_the_rest_of_it() -> None:
    repository = Repository(PATHS)
    assert await repository.files().answer(reading(repository.files(), "nowhere.py")) == b"none"
    files = repository.files()
    assert await files.answer(reading_all(files, sorted(CODE))) == sorted(CODE)
    assert repository.asked == [CODE]


async def test_any_other_file_is_read_alone() -> None:
    repository = Repository(PATHS)
    files = repository.files()
    await files.answer(reading(files, "README.md"))
    assert repository.asked == [{"README.md"}]


async def test_revisions_in_an_unusual_folder_are_read_together() -> None:
    repository = Repository(("tests/a/1.py", "tests/a/2.py", "tests/b/3.py", "tests/a/x.txt"))
    files = repository.files()
    await files.answer(reading(files, "tests/a/1.py"))
    assert repository.asked == [{"tests/a/1.py", "tests/a/2.py"}]


async def test_much_code_is_read_in_batches() -> None:
    paths = [f"alembic/versions/{number:03}.py" for number in range(70)]
    repository = Repository(paths)
    files = repository.files()
    assert await files.answer(reading_all(files, paths)) == paths
    assert [len(batch) for batch in repository.asked] == [32, 32, 6]


async def test_code_beyond_the_room_is_as_if_it_were_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_files, "MAX_CODE_BYTES", 400)
    paths = [f"alembic/versions/{number:03}.py" for number in range(70)]
    repository = Repository(paths)
    files = repository.files()
    # 320 bytes of 400 are used by the first batch; the second finds no room, the six files of the last one do.
    assert await files.answer(reading_all(files, paths)) == paths[:32] + paths[64:]
    assert paths[40] not in files


async def test_what_is_no_regular_file_is_asked_for_once() -> None:
    repository = Repository(PATHS, links=("app/database.py", "README.md"))
    files = repository.files()
    for path in ("app/database.py", "README.md", "app/database.py", "README.md"):
        assert await files.answer(reading(files, path)) == b"none"
        assert path not in files
    assert repository.asked == [CODE, {"README.md"}]
