"""In which form a stack's services get DATABASE_URL and ALEMBIC_DATABASE_URL. Pure; `prepare` calls it.

In this order: `x-preview`, the file's own DATABASE_URL, the repository's code, another URL of the file, dependencies.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.codebase.files import below
from orchestrator.codebase.python.drivers import Form, form_of_code, form_of_packages
from orchestrator.codebase.python.packages import Packages, read_packages
from orchestrator.compose.database.detection import postgres_urls
from orchestrator.compose.database.urls import URL_VARIABLES
from orchestrator.compose.model import Stack
from orchestrator.preview.errors import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Forms:
    """The schemes of the two variables, and how each was found out."""

    application: Form
    """Of DATABASE_URL."""
    alembic: Form
    """Of ALEMBIC_DATABASE_URL: always synchronous."""


def forms(stack: Stack, files: Mapping[str, bytes]) -> Forms:
    """The forms that the application wants. What is built from the repository decides which of its code is read."""
    folders = [service.build.context for service in stack.services.values() if service.build is not None]
    paths = below(files, folders)
    packages = read_packages(files, paths)
    application = (
        _of_block(stack)
        or _of_file(stack, alone=True)
        or form_of_code(files, paths, packages)
        or _of_file(stack, alone=False)
        or form_of_packages(paths, packages)
    )
    return Forms(application=application, alembic=_of_file_for_alembic(stack) or _of_alembic(packages))


def _of_block(stack: Stack) -> Form | None:
    driver = stack.preview.database.driver
    if driver is None:
        return None
    return Form(scheme=driver.scheme, why=f"x-preview.database.driver is {driver.value}", where=Place(file=stack.path))


def _of_file(stack: Stack, *, alone: bool) -> Form | None:
    """The scheme of the file's DATABASE_URL, or of another variable. One that takes its URL from us tells nothing."""
    for service, variable, url in postgres_urls(stack):
        is_ours = not URL_VARIABLES.isdisjoint(service.sources.get(variable, ()))
        scheme = _known(url.scheme)
        if is_ours or scheme is None or variable.startswith("ALEMBIC") or (variable == "DATABASE_URL") is not alone:
            continue
        place = service.environment_places.get(variable, service.place)
        return Form(scheme=scheme, why=f"the file gives {variable} so", where=place)
    return None


def _of_file_for_alembic(stack: Stack) -> Form | None:
    """The scheme of the file's own ALEMBIC_DATABASE_URL, which stands."""
    for service, variable, url in postgres_urls(stack):
        if variable == "ALEMBIC_DATABASE_URL" and URL_VARIABLES.isdisjoint(service.sources.get(variable, ())):
            place = service.environment_places.get(variable, service.place)
            return Form(scheme=url.scheme, why=f"the file gives {variable} so", where=place)
    return None


def _known(scheme: str) -> str | None:
    """A scheme that SQLAlchemy knows; `postgres` is its old name for the plain one."""
    if scheme in ("postgres", "postgresql"):
        return "postgresql"
    return scheme if scheme.startswith("postgresql+") else None


def _of_alembic(packages: Packages) -> Form:
    driver, scheme = packages.sync_driver, packages.sync_scheme
    if driver is None:
        why = "no synchronous driver is among the dependencies" if packages.named else "no dependencies are listed"
        return Form(scheme=scheme, why=why)
    why = f"{driver} is the synchronous driver among the dependencies"
    return Form(scheme=scheme, why=why, where=packages.named[packages.drivers[driver]].place)
