"""The Compose file of a repository without one: the application, its migrations, and its database."""

import json
from collections.abc import Iterator

from orchestrator.compose.model import Driver
from orchestrator.recognise.application import Application
from orchestrator.recognise.command import Command

SERVICE = "app"


def compose_file(found: Application, dockerfile: str) -> str:
    """For a recognised application, with its Dockerfile inside: one file is all there is to commit."""
    database = [] if found.driver is None else ['    environment: {DATABASE_URL: "${DATABASE_URL}"}']
    lines = ["services:", f"  {SERVICE}:", *_build(found, dockerfile), *database, f'    expose: ["{found.port}"]']
    if found.release is not None:
        lines += ["    depends_on:", "      migrate: {condition: service_completed_successfully}"]
        lines += ["  migrate:", "    build: *build", *database, f"    command: {_written(found.release)}"]
    return "\n".join([*lines, *_preview(found.driver)]) + "\n"


def for_dockerfile(driver: Driver | None) -> str:
    """For a repository that has a Dockerfile, and maybe dependencies that could be read."""
    return "\n".join(["services:", f"  {SERVICE}:", "    build: .", *_preview(driver)]) + "\n"


def _build(found: Application, dockerfile: str) -> Iterator[str]:
    yield "    build: &build"
    yield f"      context: {_written('.' if found.folder == '.' else f'./{found.folder}')}"
    yield "      dockerfile_inline: |"
    for line in dockerfile.replace("$", "$$").splitlines():
        yield f"        {line}".rstrip()


def _preview(driver: Driver | None) -> Iterator[str]:
    """The other variables of a preview are set into every service that is built here: the file need not name them."""
    yield "x-preview:"
    yield f"  service: {SERVICE}"
    yield "  database: {mode: none}" if driver is None else f"  database: {{driver: {driver.value}}}"


def _written(value: str | Command) -> str:
    """As JSON, which YAML reads, and with nothing in it that Compose would fill in."""
    return json.dumps(value).replace("$", "$$")
