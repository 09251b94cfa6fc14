"""How a stack came to its database, kept with each deployment and shown to people: no password is in it. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from orchestrator.code.drivers import Form
from orchestrator.compose.prepare import Prepared

_MAX_LENGTH = 500
"""Of one value: a command of the Compose file may be a whole program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WiredForm:
    """In which form a variable was given, and what told so."""

    variable: str
    scheme: str
    why: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WiredValue:
    """One value that leads to the preview's own database. See `orchestrator.compose.database.records.Rewrite`."""

    service: str
    variable: str
    place: str
    before: str | None
    """None where the file does not set it and previewd does."""
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    forms: tuple[WiredForm, ...] = ()
    values: tuple[WiredValue, ...] = ()

    @classmethod
    def read(cls, stored: Mapping[str, Any] | None) -> Self:
        """From the row; nothing is known of deployments that did not come so far."""
        if stored is None:
            return cls()
        return cls(
            forms=tuple(WiredForm(**form) for form in stored["forms"]),
            values=tuple(WiredValue(**value) for value in stored["values"]),
        )

    def stored(self) -> dict[str, Any]:
        """For the row."""
        return asdict(self)


def wiring(prepared: Prepared, clean: Callable[[str], str]) -> Wiring:
    """What is to be told of a stack. `clean` blanks secrets: values are hidden already, and this is the second look."""

    def shown(text: str) -> str:
        return clean(text)[:_MAX_LENGTH]

    if not prepared.rewrites:
        return Wiring()
    forms = {"DATABASE_URL": prepared.forms.application, "ALEMBIC_DATABASE_URL": prepared.forms.alembic}
    return Wiring(
        forms=tuple(_form(variable, form) for variable, form in forms.items()),
        values=tuple(
            WiredValue(
                service=rewrite.service,
                variable=rewrite.variable,
                place=str(rewrite.place),
                before=None if rewrite.before is None else shown(rewrite.before),
                after=shown(rewrite.after),
            )
            for rewrite in prepared.rewrites
        ),
    )


def _form(variable: str, form: Form) -> WiredForm:
    return WiredForm(variable=variable, scheme=form.scheme, why=form.why, place=str(form.where or ""))
