"""What was rewritten in a stack, to be shown to people: no password is in it. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.compose.database.urls import HIDDEN, DatabaseUrls, masked
from orchestrator.compose.database.variable_families import secret_names
from orchestrator.compose.model import Service, Stack
from orchestrator.preview.errors import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """One value that leads to the preview's own database. Passwords are hidden in both values."""

    service: str
    variable: str
    """Its name; `command`, `entrypoint`, or `secret NAME` where it is none."""
    place: Place
    before: str | None
    """None where the file does not set it and previewd does."""
    after: str


def rewrites(before: Stack, placed: Stack, after: Stack, own: DatabaseUrls) -> tuple[Rewrite, ...]:
    """What changed from `before` to `placed`, and the variables that `after` was given for the same database."""
    return tuple(
        record
        for name, service in after.services.items()
        for record in _of_service(before.services[name], placed.services[name], service, own)
    )


def _of_service(before: Service, placed: Service, after: Service, own: DatabaseUrls) -> Iterator[Rewrite]:
    secret = secret_names(placed.environment)
    for variable, value in after.environment.items():
        was = before.environment.get(variable)
        is_rewritten = variable in placed.environment and placed.environment[variable] != was
        if is_rewritten or ((value != was or variable in before.sources) and own.is_led_to_by(value)):
            hide = HIDDEN if variable in secret else None
            yield Rewrite(
                service=after.name,
                variable=variable,
                place=after.environment_places.get(variable, after.place),
                before=None if was is None else hide or masked(was),
                after=hide or masked(value),
            )
    for key, old, new in (
        ("command", before.command, placed.command),
        ("entrypoint", before.entrypoint, placed.entrypoint),
    ):
        if old is not None and new is not None and old != new:
            yield _record(after, key, " ".join(old), " ".join(new))
    files = {file.name: file for file in (*before.secrets, *before.configs)}
    for file in (*placed.secrets, *placed.configs):
        if file != files.get(file.name):
            yield _record(after, f"secret {file.name}", HIDDEN, HIDDEN)


def _record(service: Service, variable: str, before: str, after: str) -> Rewrite:
    return Rewrite(
        service=service.name, variable=variable, place=service.place, before=masked(before), after=masked(after)
    )
