"""The Compose stack of a deployment's commit, with the preview's own variables and database in it."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from orchestrator.compose.database import DatabaseUrls
from orchestrator.compose.inject import Facts
from orchestrator.compose.model import Stack
from orchestrator.compose.named import named_files
from orchestrator.compose.prepare import prepare
from orchestrator.compose.preview import declared_secrets
from orchestrator.compose.read import NAMES, find
from orchestrator.compose.route import Route
from orchestrator.errors import AuthorError
from worker.deployment import JWT_SECRET, Deployment

MAX_SECONDS = 10.0
"""For one reading. The language bounds its own work far below: this only keeps a worker from waiting without end."""
MAX_ROUNDS = 40
"""Readings until every file is there: as many as files may name each other in a row, and a few more."""
_Found = TypeVar("_Found")


class NotRead(Exception):
    """A file of the repository is needed that was not read yet."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class RepositoryFiles(Mapping[str, bytes]):
    """A commit's files as the Compose language takes them; raises NotRead for contents that nobody fetched yet."""

    def __init__(self, paths: list[str]) -> None:
        self._paths = dict.fromkeys(paths)
        self._contents: dict[str, bytes] = {}

    @property
    def fetched(self) -> Mapping[str, bytes]:
        """The files whose contents are known."""
        return self._contents

    def add(self, contents: Mapping[str, bytes], asked_for: set[str]) -> None:
        """Take over what was read. A path that is no regular file is from now on as if it were not there."""
        self._contents.update(contents)
        for path in asked_for - contents.keys():
            del self._paths[path]

    def __getitem__(self, path: str) -> bytes:
        if path not in self._paths:
            raise KeyError(path)
        if path not in self._contents:
            raise NotRead(path)
        return self._contents[path]

    def __contains__(self, path: object) -> bool:
        return path in self._paths

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


async def read_stack(deployment: Deployment) -> tuple[Stack, Route]:
    """The stack as it starts, and its routed service. Raises ComposeError, and AuthorError without a Compose file."""
    if deployment.stack is None:
        deployment.stack = await _read_with_files(deployment)
    return deployment.stack


async def _read_with_files(deployment: Deployment) -> tuple[Stack, Route]:
    sources, repository = deployment.hands.sources, deployment.pull.repository
    files = RepositoryFiles(await sources.paths(repository, deployment.commit))
    path = find(files)
    if path is None:
        raise AuthorError(
            f"the repository has no Compose file at its root; looked for {', '.join(NAMES)}",
            "add a compose.preview.yaml that says how the application is started",
        )
    for _ in range(MAX_ROUNDS):
        try:
            return await _read(deployment, files, path)
        except NotRead as missing:
            # Reading is pure and quick: it is done again with the file that it asked for, and with all that are named.
            asked = missing.path
        wanted = {asked, *await _in_thread(lambda: named_files(files, files.fetched))}
        files.add(await sources.read(repository, deployment.commit, wanted), asked_for=wanted)
    raise AuthorError(
        f"the files that {path} needs name one another in more than {MAX_ROUNDS} steps",
        "name them in the Compose file itself, without variables in their names",
    )


async def _read(deployment: Deployment, files: RepositoryFiles, path: str) -> tuple[Stack, Route]:
    access = await deployment.database()
    declared = await _in_thread(lambda: declared_secrets(files, path))
    facts = Facts(
        host=deployment.host,
        url=deployment.hands.settings.preview_url(deployment.host),
        pull=deployment.pull.number,
        repository=deployment.pull.repository_name,
        branch=deployment.pull.head_branch,
        commit=deployment.commit,
        secrets=await deployment.secrets([JWT_SECRET, *declared]),
        database=DatabaseUrls(
            host=access.host, port=access.port, user=access.role, password=access.password, database=access.database
        ),
    )
    return await _in_thread(lambda: prepare(files, path, facts))


async def _in_thread(read: Callable[[], _Found]) -> _Found:
    """What `read` returns, while the worker goes on with its other previews."""
    try:
        async with asyncio.timeout(MAX_SECONDS):
            return await asyncio.to_thread(read)
    except TimeoutError:
        what = f"reading the Compose file takes longer than {MAX_SECONDS:g} seconds"
        raise AuthorError(what, "make it, and the files that it names, shorter") from None
