"""A folder of a repository as a Python application: all that its Dockerfile and its Compose file are written from."""

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from orchestrator.codebase.contents import Subfolder
from orchestrator.codebase.python.entrypoint import entrypoint, usual_root
from orchestrator.codebase.python.installer import LOOKED_FOR, Installation, installation
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
    installation: Installation
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
    def summary(self) -> str:
        """One line for people."""
        installed_from = posixpath.normpath(posixpath.join(self.folder, self.installation.files[0]))
        versions = f"Python {self.installation.python}, {self.installation.packages.database}"
        return f"{self.served}, dependencies {installed_from}, {versions}"


def find_folder(files: Mapping[str, bytes]) -> str:
    """The folder whose dependencies are named: the root, or the only one below it. Raises AuthorError."""
    if installation(files) is not None:
        return "."
    folders = sorted({path.partition("/")[0] for path in files if "/" in path and not path.startswith(".")})
    found = [folder for folder in folders if installation(Subfolder(files, folder)) is not None]
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
    inside = Subfolder(files, folder)
    found = installation(inside)
    if found is None:
        raise _nothing(inside, folder)
    base = Application(folder=folder, port=port, installation=found, command=None, served="a Python application")
    if not served:
        return base
    lines = procfile(inside, port)
    started = _of_procfile(base, lines["web"], inside) if "web" in lines else _of_code(base, inside)
    release = lines.get("release") or started.release
    return replace(started, release=release, notes=(*started.notes, *_notes(started, inside)))


def _of_procfile(base: Application, command: Command, files: Mapping[str, bytes]) -> Application:
    own = command[0] in base.installation.scripts
    served = f"`{' '.join(command)}` ({_in(base.folder, 'Procfile')})"
    return replace(base, command=command, served=served, is_installed=own, root=usual_root(files))


def _of_code(base: Application, files: Mapping[str, bytes]) -> Application:
    names = base.installation.packages.names
    try:
        found = entrypoint(files, names)
    except AuthorError as error:
        raise AuthorError(error.message + _hint(base.installation), error.remedy) from None
    command, missing = serving(found, names, base.port)
    told = f"{missing} is not among the dependencies: it is installed beside them; add it to them"
    return replace(
        base,
        command=command,
        served=f"{found.framework.name} app `{found.target}` ({_in(base.folder, found.where)})",
        release=_release(files, base),
        root=found.root,
        installs=(SERVERS[missing],) if missing else (),
        notes=(*found.notes, *([told] if missing else [])),
    )


def _release(files: Mapping[str, bytes], base: Application) -> Command | None:
    """Only with a database that outlives the container that migrates it."""
    packages = base.installation.packages
    return migrating(files, packages.names) if packages.driver else None


def _hint(found: Installation) -> str:
    """A program of the project may be a server, or anything else: it is named, not run."""
    programs = ", ".join(f"`{name}`" for name in found.scripts)
    return f"; of [project.scripts] previewd cannot know what serves ({programs})" if programs else ""


def _notes(found: Application, files: Mapping[str, bytes]) -> Iterator[str]:
    names = found.installation.packages.names
    for server in dict.fromkeys(server for package, server in _SERVERS_NEEDED.items() if package in names):
        using = ", ".join(
            package for package, needed in _SERVERS_NEEDED.items() if needed == server and package in names
        )
        yield (
            f"{using} is among the dependencies, and no {server.removeprefix('a ')} is provided: if the application "
            "needs it to start, commit a Compose file with a service for it"
        )
    if "alembic.ini" in files and found.release is None and found.installation.packages.driver is None:
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
