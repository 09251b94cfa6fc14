"""How a stack came to its database, kept with each deployment and shown to people: no password is in it. Pure."""

from collections.abc import Callable

from orchestrator.codebase.python.drivers import Form
from orchestrator.compose.prepare import Prepared
from orchestrator.preview.records import MAX_LENGTH, WiredForm, WiredValue, Wiring


def wiring(prepared: Prepared, clean: Callable[[str], str]) -> Wiring:
    """What is to be told of a stack. `clean` blanks secrets: values are hidden already, and this is the second look."""

    def shown(text: str) -> str:
        return clean(text)[:MAX_LENGTH]

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
