"""What a repository lacks, generated: its Compose file, or the Dockerfile of a build.

The worker and `previewd check` call this, and it asks `codebase.python` what the repository is.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from orchestrator.codebase.python.application import PORT, Application, application, find_folder
from orchestrator.codebase.python.drivers import driver_of_folder
from orchestrator.codebase.python.generated_dockerfile import dockerfile
from orchestrator.codebase.python.installer import installation
from orchestrator.codebase.python.packages import Driver, Packages
from orchestrator.codebase.python.start_command import Command
from orchestrator.compose.model import Build, Service, Stack
from orchestrator.compose.services.stack import NAMES
from orchestrator.preview.errors import AuthorError, ComposeError

COMPOSE_FILE = "compose.yaml"
MAX_DOCKERFILES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A file that the repository lacks, as it may be committed."""

    path: str
    text: str
    summary: str
    """What was recognised, and from where."""
    notes: tuple[str, ...] = ()
    """What people should know of it."""

    @property
    def said(self) -> str:
        """One line for people."""
        kind = "Compose file" if self.path == COMPOSE_FILE else self.path
        return f"no {kind}: recognised {self.summary} → generated (`previewd check --generated` prints it)"

    def lines(self) -> Iterator[str]:
        """For the deployment's log: all of it."""
        yield self.said
        yield from self.notes
        yield f"{self.path}, to be committed as it is or changed:"
        yield from (f"    {line}".rstrip() for line in self.text.splitlines())


def missing_compose_file(files: Mapping[str, bytes]) -> Generated:
    """The Compose file of a repository that has none. Raises AuthorError that says what was looked for."""
    if "Dockerfile" in files:
        return _around_dockerfile(files)
    try:
        found = application(files, find_folder(files))
    except AuthorError as error:
        names = ", ".join(NAMES)
        raise AuthorError(
            f"the repository has no Compose file at its root (looked for {names}), no Dockerfile, and no application "
            f"that is recognised: {error.message}",
            f"{error.remedy}; or add a compose.preview.yaml that says how the application is started",
        ) from None
    driver = driver_of_folder(files, found.folder, found.installation.packages)
    text = compose_file(found, dockerfile(found), driver)
    return Generated(path=COMPOSE_FILE, text=text, summary=found.summary, notes=found.notes)


def missing_dockerfiles(files: Mapping[str, bytes], stack: Stack) -> tuple[Stack, tuple[Generated, ...]]:
    """The stack with a generated Dockerfile in each build that lacks one, and these. Raises ComposeError.

    Only for a build that names neither a Dockerfile of its own nor a target in one: those are mistakes to be told.
    """
    lacking = [service for service in stack.services.values() if _lacks(service.build, files)]
    if len({_key(service) for service in lacking}) > MAX_DOCKERFILES:
        message = f"{len(lacking)} builds lack a Dockerfile; previewd generates {MAX_DOCKERFILES} at most"
        raise ComposeError(lacking[0].place, message, "Add a Dockerfile to each.")
    found = {_key(service): _recognised(service, lacking, files) for service in lacking}
    services = {
        name: _with(service, found[_key(service)][1]) if service in lacking else service
        for name, service in stack.services.items()
    }
    generated = {text: _generated(each, text) for each, text in found.values()}
    return replace(stack, services=services), tuple(generated.values())


def _around_dockerfile(files: Mapping[str, bytes]) -> Generated:
    found = installation(files)
    packages = found.packages if found else Packages()
    place = f" in {found.files[0]}" if found and packages.driver else ""
    text = for_dockerfile(packages, driver_of_folder(files, ".", packages))
    return Generated(path=COMPOSE_FILE, text=text, summary=f"the Dockerfile, {packages.database}{place}")


def _lacks(build: Build | None, files: Mapping[str, bytes]) -> bool:
    if build is None or build.dockerfile_inline is not None or build.target is not None:
        return False
    return build.dockerfile == "Dockerfile" and _path(build.context) not in files


def _path(context: str) -> str:
    return "Dockerfile" if context == "." else f"{context}/Dockerfile"


def _key(service: Service) -> tuple[str, int]:
    return (service.build.context if service.build else ".", _port(service))


def _port(service: Service) -> int:
    ports = [*service.expose, *(port.target for port in service.ports if port.protocol == "tcp")]
    return ports[0] if ports else PORT


def _recognised(service: Service, lacking: list[Service], files: Mapping[str, bytes]) -> tuple[Application, str]:
    """For all services that build the same: what none of them starts by itself need not be found."""
    context, port = _key(service)
    served = any(each.command is None and each.entrypoint is None for each in lacking if _key(each) == (context, port))
    try:
        found = application(files, context, port, served=served)
    except AuthorError as error:
        message = f"there is no {_path(context)} in the repository, and nothing to generate one from: {error.message}"
        raise ComposeError(service.place, message, error.remedy) from None
    return found, dockerfile(found)


def _with(service: Service, text: str) -> Service:
    return replace(service, build=replace(service.build, dockerfile_inline=text)) if service.build else service


def _generated(found: Application, text: str) -> Generated:
    return Generated(path=_path(found.folder), text=text, summary=found.summary, notes=found.notes)


SERVICE = "app"


def compose_file(found: Application, dockerfile: str, driver: Driver | None) -> str:
    """For a recognised application, with its Dockerfile inside: one file is all there is to commit."""
    packages = found.installation.packages
    database = [] if packages.driver is None else ['    environment: {DATABASE_URL: "${DATABASE_URL}"}']
    lines = ["services:", f"  {SERVICE}:", *_build(found, dockerfile), *database, f'    expose: ["{found.port}"]']
    if found.release is not None:
        lines += ["    depends_on:", "      migrate: {condition: service_completed_successfully}"]
        lines += ["  migrate:", "    build: *build", *database, f"    command: {_written(found.release)}"]
    return "\n".join([*lines, *_preview(packages, driver)]) + "\n"


def for_dockerfile(packages: Packages, driver: Driver | None) -> str:
    """For a repository that has a Dockerfile, and maybe dependencies that could be read."""
    return "\n".join(["services:", f"  {SERVICE}:", "    build: .", *_preview(packages, driver)]) + "\n"


def _build(found: Application, dockerfile: str) -> Iterator[str]:
    yield "    build: &build"
    yield f"      context: {_written('.' if found.folder == '.' else f'./{found.folder}')}"
    yield "      dockerfile_inline: |"
    for line in dockerfile.replace("$", "$$").splitlines():
        yield f"        {line}".rstrip()


def _preview(packages: Packages, driver: Driver | None) -> Iterator[str]:
    """The other variables of a preview are set into every service that is built here: the file need not name them.

    A form of DATABASE_URL that has no word here is left out: it is found again whenever the file is read.
    """
    yield "x-preview:"
    yield f"  service: {SERVICE}"
    if packages.driver is None:
        yield "  database: {mode: none}"
    elif driver is not None:
        yield f"  database: {{driver: {driver.value}}}"


def _written(value: str | Command) -> str:
    """As JSON, which YAML reads, and with nothing in it that Compose would fill in."""
    return json.dumps(value).replace("$", "$$")
