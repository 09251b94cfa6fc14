"""The Compose stack of a deployment's commit, with the preview's own variables and database in it."""

from collections.abc import Iterator, Mapping

from orchestrator.compose.database import DatabaseUrls
from orchestrator.compose.inject import Facts
from orchestrator.compose.model import Stack
from orchestrator.compose.prepare import prepare
from orchestrator.compose.preview import declared_secrets
from orchestrator.compose.read import NAMES, find
from orchestrator.compose.route import Route
from orchestrator.errors import AuthorError
from worker.deployment import JWT_SECRET, Deployment


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

    def add(self, contents: Mapping[str, bytes], asked_for: str) -> None:
        """Take over what was read. A path that is no regular file is from now on as if it were not there."""
        self._contents.update(contents)
        if asked_for not in contents:
            del self._paths[asked_for]

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
    while True:
        try:
            return await _read(deployment, files, path)
        except NotRead as missing:
            # Reading is pure and quick: it is simply done again with the file that it asked for.
            wanted = missing.path
        files.add(await sources.read(repository, deployment.commit, [wanted]), asked_for=wanted)


async def _read(deployment: Deployment, files: RepositoryFiles, path: str) -> tuple[Stack, Route]:
    access = await deployment.database()
    facts = Facts(
        host=deployment.host,
        url=deployment.hands.settings.preview_url(deployment.host),
        pull=deployment.pull.number,
        repository=deployment.pull.repository_name,
        branch=deployment.pull.head_branch,
        commit=deployment.commit,
        secrets=await deployment.secrets([JWT_SECRET, *declared_secrets(files, path)]),
        database=DatabaseUrls(
            host=access.host, port=access.port, user=access.role, password=access.password, database=access.database
        ),
    )
    return prepare(files, path, facts)
