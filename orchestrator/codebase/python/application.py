"""A folder of a repository as a Python application: all that its Dockerfile and its Compose file are written from."""

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from orchestrator.codebase.files import Folder
from orchestrator.codebase.python.entrypoint import Entry, entry, usual_root
from orchestrator.codebase.python.installer import LOOKED_FOR, Dependencies, dependencies
from orchestrator.codebase.python.packages import Driver
from orchestrator.codebase.python.project_packages import postgres_driver
from orchestrator.codebase.python.start_command import SERVERS, Command, migrating, procfile, serving
from orchestrator.preview.errors import AuthorError

PORT = 8000
"""Where the application listens in its container, unless the Compose file says otherwise."""
_OTHERS: Mapping[str, str] = {
    "package.json": "Node",
    "go.mod": "Go",
    "Cargo.toml": "Rust",
    "Gemfile": "Ruby",
    "composer.json": "PHP",
    "pom.xml": "Java",
    "build.gradle": "Java",
    "build.gradle.kts": "Java",
    "mix.exs": "Elixir",
}
"""Files that tell another language."""
_SERVERS_NEEDED: Mapping[str, str] = {
    "redis": "Redis",
    "celery": "a message broker",
    "rq": "Redis",
    "arq": "Redis",
    "dramatiq": "a message broker",
    "kombu": "a message broker",
    "aiokafka": "Kafka",
    "pymongo": "MongoDB",
    "motor": "MongoDB",
    "mysqlclient": "MySQL",
    "pymysql": "MySQL",
    "aiomysql": "MySQL",
    "asyncmy": "MySQL",
    "elasticsearch": "Elasticsearch",
}
"""Packages that speak to a server which a preview does not get by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What was recognised, and where."""

    folder: str
    """Of the repository; `.` is its root. The build's context."""
    port: int
    dependencies: Dependencies
    command: Command | None
    """None where the Compose file says what is run."""
    served: str
    """What people are told of `command`, and the place that says it."""
    release: Command | None = None
    """What is run once before it serves: migrations."""
    root: str = "."
    """Below `folder`: where modules are imported from."""
    installs: tuple[str, ...] = ()
    """What is installed beside the dependencies, as pip takes it."""
    is_installed: bool = False
    """Whether its command is a program that only the installed project has."""
    notes: tuple[str, ...] = ()

    @property
    def driver(self) -> Driver | None:
        """The form of DATABASE_URL; None where no Postgres driver is among the dependencies."""
        found = postgres_driver(self.dependencies.names)
        return found[1] if found else None

    @property
    def summary(self) -> str:
        """One line for people."""
        found = postgres_driver(self.dependencies.names)
        database = f"Postgres by {found[0]}" if found else "no Postgres driver"
        installed_from = posixpath.normpath(posixpath.join(self.folder, self.dependencies.files[0]))
        return f"{self.served}, dependencies {installed_from}, Python {self.dependencies.python}, {database}"


def find_folder(files: Mapping[str, bytes]) -> str:
    """The folder whose dependencies are named: the root, or the only one below it. Raises AuthorError."""
    if dependencies(files) is not None:
        return "."
    below = sorted({path.partition("/")[0] for path in files if "/" in path and not path.startswith(".")})
    found = [folder for folder in below if dependencies(Folder(files, folder)) is not None]
    if len(found) == 1:
        return found[0]
    if found:
        raise AuthorError(
            f"several folders could hold the application: {', '.join(found)}",
            f"add a Compose file that says which: `services: {{app: {{build: ./{found[0]}}}}}`",
        )
    raise _nothing(files)


def application(files: Mapping[str, bytes], folder: str, port: int = PORT, *, served: bool = True) -> Application:
    """What the folder holds. Raises AuthorError that says what was looked for.

    `served` is False where the Compose file itself has the command, so that nothing need be found that serves.
    """
    below = Folder(files, folder)
    found = dependencies(below)
    if found is None:
        raise _nothing(below, folder)
    base = Application(folder=folder, port=port, dependencies=found, command=None, served="a Python application")
    if not served:
        return base
    lines = procfile(below, port)
    started = _of_procfile(base, lines["web"], below) if "web" in lines else _of_code(base, below)
    release = lines.get("release") or started.release
    return replace(started, release=release, notes=(*started.notes, *_notes(started, below)))


def _of_procfile(base: Application, command: Command, files: Mapping[str, bytes]) -> Application:
    own = command[0] in base.dependencies.scripts
    served = f"`{' '.join(command)}` ({_in(base.folder, 'Procfile')})"
    return replace(base, command=command, served=served, is_installed=own, root=usual_root(files))


def _of_code(base: Application, files: Mapping[str, bytes]) -> Application:
    names = base.dependencies.names
    try:
        found = entry(files, names)
    except AuthorError as error:
        raise AuthorError(error.message + _hint(base.dependencies), error.remedy) from None
    command, missing = serving(found, names, base.port)
    told = f"{missing} is not among the dependencies: it is installed beside them; add it to them"
    return replace(
        base,
        command=command,
        served=f"{found.framework.name} app `{found.target}` ({_in(base.folder, found.where)})",
        release=_release(files, found, base),
        root=found.root,
        installs=(SERVERS[missing],) if missing else (),
        notes=(*found.notes, *([told] if missing else [])),
    )


def _release(files: Mapping[str, bytes], found: Entry, base: Application) -> Command | None:
    """Only with a database that outlives the container that migrates it."""
    return migrating(files, found, base.dependencies.names) if base.driver else None


def _hint(found: Dependencies) -> str:
    """A program of the project may be a server, or anything else: it is named, not run."""
    programs = ", ".join(f"`{name}`" for name in found.scripts)
    return f"; of [project.scripts] previewd cannot know what serves ({programs})" if programs else ""


def _notes(found: Application, files: Mapping[str, bytes]) -> Iterator[str]:
    names = found.dependencies.names
    for server in dict.fromkeys(server for package, server in _SERVERS_NEEDED.items() if package in names):
        using = ", ".join(
            package for package, needed in _SERVERS_NEEDED.items() if needed == server and package in names
        )
        yield (
            f"{using} is among the dependencies, and no {server.removeprefix('a ')} is provided: if the application "
            "needs it to start, commit a Compose file with a service for it"
        )
    if "alembic.ini" in files and found.release is None and found.driver is None:
        yield "alembic.ini is there, and no Postgres driver among the dependencies: no migration is run"


def _nothing(files: Iterable[str], folder: str = ".") -> AuthorError:
    where = "the repository" if folder == "." else folder
    looked = (
        f"no file of {where} names what a Python application is installed from (looked for {', '.join(LOOKED_FOR)})"
    )
    present = frozenset(files)
    other = next((name for name in _OTHERS if name in present), None)
    if other is not None:
        looked += f"; {other} looks like {_OTHERS[other]}, and previewd recognises Python only"
    return AuthorError(looked, "add a Dockerfile")


def _in(folder: str, path: str) -> str:
    return path if folder == "." else f"{folder}/{path}"
