"""Which form of DATABASE_URL an application's code wants. Pure.

Code that turns a plain URL into another form by itself wants the plain one; else a default of the variable tells, then
the call that takes it, then the drivers among the dependencies.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.codebase.contents import text_of
from orchestrator.codebase.files import below, example_files
from orchestrator.codebase.python.database_calls import (
    ASYNC_DRIVERS,
    Closeness,
    Opening,
    SchemeChange,
    Takes,
    database_modules,
    defaults,
    openings,
    scheme_changes,
)
from orchestrator.codebase.python.packages import Driver, Packages
from orchestrator.codebase.python.syntax import Module
from orchestrator.preview.errors import Place

_EXAMPLE = re.compile(
    r"^[ \t]*(?:export[ \t]+)?DATABASE_URL[ \t]*=[ \t]*[\"']?(?P<scheme>postgres(?:ql)?(?:\+\w+)?)://", re.MULTILINE
)
_OTHER_LANGUAGES = {"package.json": "JavaScript", "go.mod": "Go", "Gemfile": "Ruby", "Cargo.toml": "Rust"}
_OTHER_LANGUAGES |= {"pom.xml": "Java", "build.gradle": "Java", "mix.exs": "Elixir", "composer.json": "PHP"}
_FORMS = {"tortoise-orm": ("postgres", "knows no other scheme")}
_FORMS |= dict.fromkeys(("django", "peewee", "databases", "aiopg"), ("postgresql", "takes a plain URL"))
"""Of packages that want one form, whatever the driver, and though SQLAlchemy may be there, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The scheme of a URL variable, and how it was found out."""

    scheme: str
    """Such as `postgresql+asyncpg`."""
    why: str
    """Ends the sentence `DATABASE_URL as postgresql+asyncpg:// because …`."""
    where: Place | None = None


def form_of_code(files: Mapping[str, bytes], paths: Sequence[str], packages: Packages) -> Form | None:
    """The form that the code among `paths` wants of DATABASE_URL; None where it does not tell."""
    found = database_modules(files, paths)
    changed = [change for module in found for change in scheme_changes(module)]
    opened = [opening for module in found for opening in openings(module)]
    return (
        _form_of_changes(changed, opened)
        or _form_of_defaults(found)
        or _form_of_examples(files, paths)
        or _form_of_openings(opened, packages)
    )


def form_of_packages(paths: Iterable[str], packages: Packages) -> Form:
    """The form for the packages, where nothing else tells. A driver in the scheme is a thing of SQLAlchemy's."""
    for name, (scheme, why) in _FORMS.items():
        if packages.has(name):
            return Form(scheme=scheme, why=f"{name} {why}", where=packages.named[name].place)
    driver = packages.driver
    if driver is None:
        return _form_without_driver(frozenset(paths))
    place = packages.named[packages.drivers[driver]].place
    if not packages.has("sqlalchemy"):
        why = f"{driver} is among the dependencies, and SQLAlchemy is not"
        return Form(scheme="postgresql", why=why, where=place)
    if driver == "asyncpg":
        return Form(scheme="postgresql+asyncpg", why="asyncpg is among the dependencies", where=place)
    return Form(scheme=packages.sync_scheme, why=f"{driver} is the driver among the dependencies", where=place)


def driver_of_folder(files: Mapping[str, bytes], folder: str, packages: Packages) -> Driver | None:
    """The form for what a folder of the repository builds, found as for a stack whose Compose file leaves it open.

    None where no driver is among the packages, or the form is none that a Compose file has a word for.
    """
    if packages.driver is None:
        return None
    paths = below(files, [folder])
    found = form_of_code(files, paths, packages) or form_of_packages(paths, packages)
    return next((driver for driver in Driver if driver.scheme == found.scheme), None)


def _form_without_driver(paths: frozenset[str]) -> Form:
    other = next((name for name in _OTHER_LANGUAGES if name in paths), None)
    if other is not None and not any(path.endswith(".py") for path in paths):
        why = f"the application is written in {_OTHER_LANGUAGES[other]}"
        return Form(scheme="postgresql", why=why, where=Place(file=other))
    return Form(scheme="postgresql+asyncpg", why="nothing tells which form the application wants")


# What the findings mean


def _form_of_changes(changes: Sequence[SchemeChange], openings: Sequence[Opening]) -> Form | None:
    """Plain, where code puts a driver in; the driver's own form, where code only takes it out."""
    put_in = [change for change in changes if change.driver and change.source is None]
    if any(opening.takes is Takes.ASYNC and not opening.in_migrations for opening in openings):
        put_in = [change for change in put_in if change.driver in ASYNC_DRIVERS]
    for change in put_in:
        return Form(scheme="postgresql", why=f"the code turns it into +{change.driver} itself", where=change.place)
    for change in changes:
        if change.source is not None and change.source in ASYNC_DRIVERS:
            why = f"the code takes +{change.source} out of it for other uses"
            return Form(scheme=f"postgresql+{change.source}", why=why, where=change.place)
    return None


def _form_of_defaults(found: Iterable[Module]) -> Form | None:
    default = next((default for module in found for default in defaults(module)), None)
    if default is None:
        return None
    why = f"the code gives {default.name} such a default"
    return Form(scheme=default.scheme, why=why, where=default.place)


def _form_of_examples(files: Mapping[str, bytes], paths: Iterable[str]) -> Form | None:
    for path in example_files(paths):
        text = text_of(files, path)
        match = _EXAMPLE.search(text)
        if match is not None:
            line = text.count("\n", 0, match.start("scheme")) + 1
            return Form(scheme=match["scheme"], why=f"{path} shows it so", where=Place(file=path, line=line))
    return None


def _form_of_openings(openings: Sequence[Opening], packages: Packages) -> Form | None:
    used = [opening for opening in openings if opening.closeness]
    if not used:
        return None
    chosen = min(used, key=lambda opening: (opening.in_migrations, -opening.closeness, opening.takes))
    scheme = {
        Takes.ASYNC: packages.async_scheme,
        Takes.SYNC: packages.sync_scheme,
        Takes.PLAIN: "postgresql",
        Takes.TORTOISE: "postgres",
    }[chosen.takes]
    why = f"the code calls {chosen.name}"
    shared = next((each for each in used if each.in_migrations and each.takes is Takes.SYNC), None)
    if (
        chosen.takes is Takes.ASYNC
        and shared is not None
        and shared.closeness is Closeness.NAMES_IT
        and "psycopg" in packages.drivers
    ):
        scheme, why = "postgresql+psycopg", f"{why}, and the migrations open the same URL without async"
    return Form(scheme=scheme, why=why, where=chosen.place)
