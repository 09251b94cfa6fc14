"""What a module's own code says of web applications in it, read with `ast`: nothing is imported.

A module of hostile size or syntax costs little: it is left out, and said so.
"""

import ast
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from orchestrator.codebase.files import modules
from orchestrator.preview.errors import AuthorError

MAX_MODULE = 128 * 1024
"""Octets of the largest module that is read."""
MAX_READ = 512 * 1024
"""Octets of all modules that are read: at most some seconds' work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    name: str
    is_async: bool
    """Whether it is served by ASGI, else by WSGI."""


FASTAPI = Framework(name="FastAPI", is_async=True)
STARLETTE = Framework(name="Starlette", is_async=True)
LITESTAR = Framework(name="Litestar", is_async=True)
QUART = Framework(name="Quart", is_async=True)
FLASK = Framework(name="Flask", is_async=False)
DJANGO = Framework(name="Django", is_async=False)
DJANGO_ASGI = Framework(name="Django", is_async=True)
_MAKERS: Mapping[str, Framework] = {
    "fastapi.FastAPI": FASTAPI,
    "fastapi.applications.FastAPI": FASTAPI,
    "starlette.applications.Starlette": STARLETTE,
    "litestar.Litestar": LITESTAR,
    "litestar.app.Litestar": LITESTAR,
    "quart.Quart": QUART,
    "flask.Flask": FLASK,
    "apiflask.APIFlask": FLASK,
    "flask_openapi3.OpenAPI": FLASK,
    "django.core.wsgi.get_wsgi_application": DJANGO,
    "django.core.asgi.get_asgi_application": DJANGO_ASGI,
}
"""What makes an application, by its full name."""
_SIGNS = tuple(name.rpartition(".")[2].encode() for name in _MAKERS)
_SERVING = ("main.py", "app.py", "wsgi.py", "asgi.py", "server.py", "application.py", "api.py", "__init__.py")
"""Modules that may name an application which another one makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An application in the code, or a function without arguments that makes one."""

    path: str
    line: int
    name: str
    framework: Framework
    is_factory: bool = False
    imports: frozenset[str] = frozenset()
    """Every module that the module imports by its full name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Module:
    """A module's top level: what its names are bound to, and which of its functions make an application."""

    path: str
    imports: frozenset[str]
    calls: tuple[tuple[str, int, str], ...]
    """Name, line, and the full name of what is called, of each `NAME = CALL(…)`."""
    factories: Mapping[str, tuple[int, Framework, bool]]
    """By the function's name: line, what it makes, and whether it can be called without arguments."""


def applications(files: Mapping[str, bytes]) -> tuple[list[Found], list[str]]:
    """Every application in the modules of a folder, and the paths of modules that could not be read."""
    read, unread = [], []
    left = MAX_READ
    for path in modules(files):
        content = _content(files, path)
        if not _may_say(path, content):
            continue
        module = _module(path, content) if len(content) <= min(MAX_MODULE, left) else None
        if module is None:
            unread.append(path)
        else:
            left -= len(content)
            read.append(module)
    made = {name: framework for module in read for name, (_, framework, _) in module.factories.items()}
    return [found for module in read for found in _found(module, made)], unread


def _content(files: Mapping[str, bytes], path: str) -> bytes:
    """Empty for a file that is too large to be handed out at all."""
    try:
        return files[path]
    except AuthorError:
        return b""


def _may_say(path: str, content: bytes) -> bool:
    return path.rpartition("/")[2] in _SERVING or any(sign in content for sign in _SIGNS)


def _found(module: _Module, made: Mapping[str, Framework]) -> Iterator[Found]:
    for name, line, called in module.calls:
        framework = _MAKERS.get(called) or made.get(called.rpartition(".")[2])
        if framework is not None:
            yield Found(path=module.path, line=line, name=name, framework=framework, imports=module.imports)
    for name, (line, framework, callable_bare) in module.factories.items():
        if callable_bare:
            yield Found(
                path=module.path, line=line, name=name, framework=framework, is_factory=True, imports=module.imports
            )


def _module(path: str, content: bytes) -> _Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is odd in somebody's strings is not ours to tell
            tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    bound = _bindings(tree)
    statements = list(_top_level(tree.body))
    return _Module(
        path=path,
        imports=frozenset(_imported(tree)),
        calls=tuple(_calls(statements, bound)),
        factories=dict(_factories(statements, bound)),
    )


def _top_level(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """What runs when the module is imported, but for functions and classes themselves."""
    waiting = list(body)[::-1]
    while waiting:
        match waiting.pop():
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
                continue  # a module that is imported is not `__main__`
            case ast.If() as branch:
                waiting.extend([*branch.body, *branch.orelse][::-1])
            case ast.Try() as attempt:
                handled = [statement for handler in attempt.handlers for statement in handler.body]
                waiting.extend([*attempt.body, *handled, *attempt.orelse, *attempt.finalbody][::-1])
            case ast.With() as block:
                waiting.extend(block.body[::-1])
            case statement:
                yield statement


def _calls(statements: Iterable[ast.stmt], bound: Mapping[str, str]) -> Iterator[tuple[str, int, str]]:
    """Each `NAME = CALL(…)`, the first of a name."""
    seen: set[str] = set()
    for statement in statements:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=function)):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Call(func=function)):
                pass
            case _:
                continue
        if name not in seen:
            seen.add(name)
            yield name, statement.lineno, _full_name(function, bound)


def _factories(
    statements: Iterable[ast.stmt], bound: Mapping[str, str]
) -> Iterator[tuple[str, tuple[int, Framework, bool]]]:
    for statement in statements:
        if isinstance(statement, ast.FunctionDef):
            framework = next(_makes(statement, bound), None)
            if framework is not None:
                yield statement.name, (statement.lineno, framework, _needs_nothing(statement.args))


def _makes(function: ast.FunctionDef, bound: Mapping[str, str]) -> Iterator[Framework]:
    """What a function says that it returns, or calls somewhere."""
    named = [function.returns] if function.returns is not None else []
    called = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
    for node in (*named, *called):
        if (framework := _MAKERS.get(_full_name(node, bound))) is not None:
            yield framework


def _needs_nothing(given: ast.arguments) -> bool:
    positional = len(given.posonlyargs) + len(given.args)
    return positional <= len(given.defaults) and all(default is not None for default in given.kw_defaults)


def _bindings(tree: ast.Module) -> Mapping[str, str]:
    """What each imported name stands for, wherever in the module it is imported."""
    bound: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            bound.update({each.asname or each.name.partition(".")[0]: _bound(each) for each in node.names})
        elif isinstance(node, ast.ImportFrom):
            bound.update({each.asname or each.name: f"{node.module or ''}.{each.name}" for each in node.names})
    return bound


def _bound(imported: ast.alias) -> str:
    return imported.name if imported.asname else imported.name.partition(".")[0]


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)


def _full_name(node: ast.expr, bound: Mapping[str, str]) -> str:
    """`fastapi.FastAPI` for a name or an attribute that stands for it; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join((bound.get(node.id, node.id), *reversed(parts)))
