"""Which form of DATABASE_URL an application's code wants. Pure.

Code that turns a plain URL into another form by itself wants the plain one; else a default of the variable tells, then
the call that takes it, then the drivers among the dependencies.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.codebase.files import example_files, text_of
from orchestrator.codebase.python.database_calls import (
    ASYNC_DRIVERS,
    Closeness,
    Module,
    Opening,
    Takes,
    Turn,
    defaults,
    modules,
    openings,
    turns,
)
from orchestrator.codebase.python.packages import Dependencies
from orchestrator.preview.errors import Place

_EXAMPLE = re.compile(
    r"^[ \t]*(?:export[ \t]+)?DATABASE_URL[ \t]*=[ \t]*[\"']?(?P<scheme>postgres(?:ql)?(?:\+\w+)?)://", re.MULTILINE
)
_OTHER_LANGUAGES = {"package.json": "JavaScript", "go.mod": "Go", "Gemfile": "Ruby", "Cargo.toml": "Rust"}
_OTHER_LANGUAGES |= {"pom.xml": "Java", "build.gradle": "Java", "mix.exs": "Elixir", "composer.json": "PHP"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The scheme of a URL variable, and how it was found out."""

    scheme: str
    """Such as `postgresql+asyncpg`."""
    why: str
    """Ends the sentence `DATABASE_URL as postgresql+asyncpg:// because …`."""
    where: Place | None = None


def form_of_code(files: Mapping[str, bytes], paths: Sequence[str], packages: Dependencies) -> Form | None:
    """The form that the code among `paths` wants of DATABASE_URL; None where it does not tell."""
    found = list(modules(files, paths))
    turned = [turn for module in found for turn in turns(module)]
    opened = [opening for module in found for opening in openings(module)]
    return (
        _form_of_turns(turned, opened)
        or _form_of_defaults(found)
        or _form_of_examples(files, paths)
        or _form_of_openings(opened, packages)
    )


def form_of_packages(paths: Iterable[str], packages: Dependencies) -> Form:
    """The form for the drivers among the dependencies, where nothing else tells: an asynchronous one first."""
    all_paths = frozenset(paths)
    if packages.has("tortoise-orm"):
        return _because("postgres", "tortoise-orm", packages, "knows no other scheme")
    if any(packages.has(name) for name in ("django", "peewee")) or packages.has("databases"):
        name = next(name for name in ("django", "peewee", "databases") if packages.has(name))
        return _because("postgresql", name, packages, "takes a plain URL")
    if packages.has("asyncpg"):
        return _because("postgresql+asyncpg", "asyncpg", packages, "is among the dependencies")
    driver = packages.sync_driver
    if driver is not None:
        return _because(packages.sync_scheme, driver, packages, "is the driver among the dependencies")
    other = next((name for name in _OTHER_LANGUAGES if name in all_paths), None)
    if other is not None and not any(path.endswith(".py") for path in all_paths):
        return Form(
            scheme="postgresql", why=f"the application is written in {_OTHER_LANGUAGES[other]}", where=Place(file=other)
        )
    return Form(scheme="postgresql+asyncpg", why="nothing tells which form the application wants")


def _because(scheme: str, package: str, packages: Dependencies, why: str) -> Form:
    place = packages.packages[package].place
    return Form(scheme=scheme, why=f"{package} {why}", where=place)


# What the findings mean


def _form_of_turns(turns: Sequence[Turn], openings: Sequence[Opening]) -> Form | None:
    """Plain, where code puts a driver in; the driver's own form, where code only takes it out."""
    put_in = [turn for turn in turns if turn.driver and turn.source is None]
    if any(opening.takes is Takes.ASYNC and not opening.in_migrations for opening in openings):
        put_in = [turn for turn in put_in if turn.driver in ASYNC_DRIVERS]
    for turn in put_in:
        return Form(scheme="postgresql", why=f"the code turns it into +{turn.driver} itself", where=turn.place)
    for turn in turns:
        if turn.source is not None and turn.source in ASYNC_DRIVERS:
            scheme = f"postgresql+{turn.source}"
            return Form(scheme=scheme, why=f"the code takes +{turn.source} out of it for other uses", where=turn.place)
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


def _form_of_openings(openings: Sequence[Opening], packages: Dependencies) -> Form | None:
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
        and packages.has("psycopg")
    ):
        scheme, why = "postgresql+psycopg", f"{why}, and the migrations open the same URL without async"
    return Form(scheme=scheme, why=why, where=chosen.place)
