"""What a repository's modules do with database URLs: where they open, change and default them. Pure; `drivers` judges.

Modules are parsed, and never imported.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

from orchestrator.codebase.files import python_files
from orchestrator.codebase.python.syntax import Module, full_name, read_modules
from orchestrator.preview.errors import Place

_MARK = re.compile(
    rb"database_ur[li]|postgres|create_\w*engine|engine_from_config|asyncpg|psycopg|[Tt]ortoise", re.IGNORECASE
)
_PLAIN = re.compile(r"(?:postgres|postgresql|psql)(?::|://)?")
_DRIVER = re.compile(r"(?:postgresql)?\+(?P<driver>asyncpg|psycopg2|psycopg_async|psycopg|pg8000|aiopg)\b(?::|://)?")
_URL = re.compile(r"(?P<scheme>(?:postgres|postgresql)(?:\+\w+)?)://")
_VARIABLE = re.compile(r"\b\w*database_ur[li]\b", re.IGNORECASE)
ASYNC_DRIVERS = frozenset({"asyncpg", "psycopg", "psycopg_async", "aiopg"})
_OF_ANOTHER = re.compile(r"(?:\w+_)?(?:alembic|sync|test|migrations?|replica|readonly|read)_")
"""Begins the name of a variable that holds another URL than the application's own."""
_MAX_CALLS = 500


class Takes(IntEnum):
    """What a call that opens the database does with its URL; where several fit equally, the lowest decides."""

    ASYNC = 0
    """SQLAlchemy with an asynchronous driver."""
    SYNC = 1
    PLAIN = 2
    """A driver itself, or a library that knows no `+driver`."""
    TORTOISE = 3


class Closeness(IntEnum):
    """How surely the URL of such a call is DATABASE_URL."""

    NAMES_ANOTHER = 0
    NAMES_NONE = 1
    NAMES_IT = 2


_CALLS: Mapping[str, Takes] = {
    "create_async_engine": Takes.ASYNC,
    "async_engine_from_config": Takes.ASYNC,
    "AsyncEngine": Takes.ASYNC,
    "create_engine": Takes.SYNC,
    "engine_from_config": Takes.SYNC,
    "asyncpg.connect": Takes.PLAIN,
    "asyncpg.create_pool": Takes.PLAIN,
    "aiopg.create_pool": Takes.PLAIN,
    "psycopg.connect": Takes.PLAIN,
    "psycopg.Connection.connect": Takes.PLAIN,
    "psycopg.AsyncConnection.connect": Takes.PLAIN,
    "psycopg_pool.ConnectionPool": Takes.PLAIN,
    "psycopg_pool.AsyncConnectionPool": Takes.PLAIN,
    "psycopg2.connect": Takes.PLAIN,
    "databases.Database": Takes.PLAIN,
    "dj_database_url.config": Takes.PLAIN,
    "dj_database_url.parse": Takes.PLAIN,
    "env.db": Takes.PLAIN,
    "env.db_url": Takes.PLAIN,
    "playhouse.db_url.connect": Takes.PLAIN,
    "Tortoise.init": Takes.TORTOISE,
    "register_tortoise": Takes.TORTOISE,
    "RegisterTortoise": Takes.TORTOISE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemeChange:
    """Code that makes one form of a URL of another."""

    source: str | None
    """The driver that it looks for; None for the plain form."""
    driver: str
    """The driver that it puts in; empty where it takes one out."""
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A call that opens the database."""

    name: str
    takes: Takes
    closeness: Closeness
    in_migrations: bool
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Default:
    """A URL that stands in the code as DATABASE_URL's own value."""

    name: str
    scheme: str
    place: Place


def database_modules(files: Mapping[str, bytes], paths: Iterable[str]) -> list[Module]:
    """The modules that speak of databases."""
    found, _ = read_modules(files, python_files(paths), lambda _, content: _MARK.search(content) is not None)
    return found


def openings(module: Module) -> Iterator[Opening]:
    for call in _calls(module):
        name = _called(call, module)
        takes = next((takes for known, takes in _CALLS.items() if f".{name}".endswith(f".{known}")), None)
        if takes is not None:
            yield Opening(
                name=name.rpartition(".")[2] if takes in (Takes.ASYNC, Takes.SYNC) else name,
                takes=takes,
                closeness=_closeness(call, name),
                in_migrations=module.path.rpartition("/")[2] == "env.py",
                place=module.place(call),
            )


def _closeness(call: ast.Call, name: str) -> Closeness:
    if name.endswith("engine_from_config"):
        return Closeness.NAMES_NONE
    named = {found.lower() for argument in _arguments(call) for found in _VARIABLE.findall(_source(argument))}
    if "database_url" in named:
        return Closeness.NAMES_IT
    is_another = bool(named) and all(_OF_ANOTHER.match(name) for name in named)
    return Closeness.NAMES_ANOTHER if is_another else Closeness.NAMES_NONE


def scheme_changes(module: Module) -> Iterator[SchemeChange]:
    """Every place where a URL's driver is put in, changed or taken out."""
    for node in ast.walk(module.tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="replace" | "sub" | "subn")):
                yield from _replaced(node, module)
            case ast.Call(func=ast.Attribute(attr="set" | "_replace" | "update")):
                yield from _set(node, module)
            case ast.JoinedStr(values=[ast.Constant(value=str(text)), ast.FormattedValue(), *rest]):
                if not any("@" in str(part.value) for part in rest if isinstance(part, ast.Constant)):
                    yield from _prefixed(text, node, module)
            case ast.BinOp(left=ast.Constant(value=str(text)), op=ast.Add(), right=right):
                if not isinstance(right, ast.Constant):
                    yield from _prefixed(text, node, module)
            case _:
                pass


def _replaced(call: ast.Call, module: Module) -> Iterator[SchemeChange]:
    texts = [part.value for part in call.args if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    source, target, *_ = (*(text.replace("\\", "").removeprefix("^") for text in texts), "", "")
    found, put = _DRIVER.fullmatch(source), _DRIVER.fullmatch(target)
    if put is not None and _PLAIN.fullmatch(source.replace("s?", "").replace("(ql)?", "ql")):
        yield SchemeChange(source=None, driver=put["driver"], place=module.place(call))
    elif found is not None and (put is None or put["driver"] != found["driver"]):
        yield SchemeChange(
            source=found["driver"], driver="" if put is None else put["driver"], place=module.place(call)
        )


def _set(call: ast.Call, module: Module) -> Iterator[SchemeChange]:
    """`make_url(…).set(drivername=…)`, and the same of urllib's parts: it takes any URL."""
    for keyword in call.keywords:
        if keyword.arg in ("drivername", "scheme") and isinstance(keyword.value, ast.Constant):
            match = _DRIVER.fullmatch(str(keyword.value.value))
            if match is not None and match["driver"] in ASYNC_DRIVERS:
                yield SchemeChange(source=None, driver=match["driver"], place=module.place(call))


def _prefixed(text: str, node: ast.expr, module: Module) -> Iterator[SchemeChange]:
    """A driver's scheme in front of the rest of a URL. In front of `user:password@…` it is put together from parts."""
    match = _DRIVER.fullmatch(text)
    if match is not None and _is_rest(node):
        yield SchemeChange(source=None, driver=match["driver"], place=module.place(node))


def _is_rest(node: ast.expr) -> bool:
    """Whether what follows is cut out of another URL: a slice, a call, or the one name that there is."""
    rest = node.values[1:] if isinstance(node, ast.JoinedStr) else [node.right] if isinstance(node, ast.BinOp) else []
    values = [part.value if isinstance(part, ast.FormattedValue) else part for part in rest]
    return len(values) == 1 and isinstance(values[0], ast.Subscript | ast.Call | ast.Name | ast.Attribute)


def defaults(module: Module) -> Iterator[Default]:
    """The URLs that stand in the code as DATABASE_URL's own value."""
    for node in ast.walk(module.tree):
        value: ast.expr | None = None
        match node:
            case ast.AnnAssign(target=ast.Name(id=name) | ast.Attribute(attr=name), value=value):
                pass
            case ast.Assign(targets=[ast.Name(id=name) | ast.Attribute(attr=name)], value=value):
                pass
            case ast.Call(args=[ast.Constant(value=str(name)), *_]):
                value = node
            case _:
                continue
        if name.lower() == "database_url" and value is not None and (scheme := _scheme_in(value)):
            yield Default(name=name, scheme=scheme, place=module.place(node))


def _scheme_in(value: ast.expr) -> str | None:
    """The scheme of a URL that is written out in an expression, as a whole and not from parts."""
    texts: list[object] = []
    match value:
        case ast.Constant(value=text):
            texts = [text]
        case ast.Call(args=args, keywords=keywords):
            texts = [part.value for part in args if isinstance(part, ast.Constant)]
            texts += [word.value.value for word in keywords if isinstance(word.value, ast.Constant)]
        case ast.BoolOp(values=values):
            return next((scheme for part in values if (scheme := _scheme_in(part))), None)
        case _:
            return None
    return next((match["scheme"] for text in texts if isinstance(text, str) and (match := _URL.match(text))), None)


def _calls(module: Module) -> list[ast.Call]:
    return [node for node in ast.walk(module.tree) if isinstance(node, ast.Call)][:_MAX_CALLS]


def _called(call: ast.Call, module: Module) -> str:
    """The full name of what is called; its last part where it belongs to something without a name."""
    last = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    return full_name(call.func, module.names) or last


def _arguments(call: ast.Call) -> list[ast.expr]:
    return [*call.args[:2], *(keyword.value for keyword in call.keywords)]


def _source(node: ast.expr) -> str:
    """The names in an expression. A call's arguments count, whatever its depth."""
    words = []
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            words.append(part.id)
        elif isinstance(part, ast.Attribute):
            words.append(part.attr)
        elif isinstance(part, ast.Constant) and isinstance(part.value, str):
            words.append(part.value)
    return " ".join(words)
