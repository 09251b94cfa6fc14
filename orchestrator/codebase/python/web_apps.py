"""What a repository's modules say of web applications in them. Pure; `entrypoint` chooses."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from orchestrator.codebase.files import serving_modules
from orchestrator.codebase.python.syntax import Module, full_name, imported_modules, read_modules


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
class WebApp:
    """An application in the code, or a function without arguments that makes one."""

    path: str
    line: int
    name: str
    framework: Framework
    is_factory: bool = False
    imports: frozenset[str] = frozenset()
    """Every module that the module imports by its full name."""


_Factories = Mapping[str, tuple[int, Framework, bool]]
"""By the function's name: line, what it makes, and whether it can be called without arguments."""


def applications(files: Mapping[str, bytes]) -> tuple[list[WebApp], list[str]]:
    """Every application in the modules of a folder, and the paths of modules that could not be read."""
    read, unread = read_modules(files, serving_modules(files), _may_tell)
    factories = [dict(_factories(module)) for module in read]
    made = {name: framework for each in factories for name, (_, framework, _) in each.items()}
    return [found for module, own in zip(read, factories, strict=True) for found in _found(module, own, made)], unread


def _may_tell(path: str, content: bytes) -> bool:
    return path.rpartition("/")[2] in _SERVING or any(sign in content for sign in _SIGNS)


def _found(module: Module, own: _Factories, made: Mapping[str, Framework]) -> Iterator[WebApp]:
    imports = frozenset(imported_modules(module.tree))
    for name, line, called in _calls(module):
        framework = _MAKERS.get(called) or made.get(called.rpartition(".")[2])
        if framework is not None:
            yield WebApp(path=module.path, line=line, name=name, framework=framework, imports=imports)
    for name, (line, framework, callable_bare) in own.items():
        if callable_bare:
            yield WebApp(path=module.path, line=line, name=name, framework=framework, is_factory=True, imports=imports)


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


def _calls(module: Module) -> Iterator[tuple[str, int, str]]:
    """Name, line, and the full name of what is called, of each `NAME = CALL(…)`: the first of a name."""
    seen: set[str] = set()
    for statement in _top_level(module.tree.body):
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=function)):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Call(func=function)):
                pass
            case _:
                continue
        if name not in seen:
            seen.add(name)
            yield name, statement.lineno, full_name(function, module.names)


def _factories(module: Module) -> Iterator[tuple[str, tuple[int, Framework, bool]]]:
    for statement in _top_level(module.tree.body):
        if isinstance(statement, ast.FunctionDef):
            framework = next(_makes(statement, module.names), None)
            if framework is not None:
                yield statement.name, (statement.lineno, framework, _needs_nothing(statement.args))


def _makes(function: ast.FunctionDef, names: Mapping[str, str]) -> Iterator[Framework]:
    """What a function says that it returns, or calls somewhere."""
    named = [function.returns] if function.returns is not None else []
    called = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
    for node in (*named, *called):
        if (framework := _MAKERS.get(full_name(node, names))) is not None:
            yield framework


def _needs_nothing(given: ast.arguments) -> bool:
    positional = len(given.posonlyargs) + len(given.args)
    return positional <= len(given.defaults) and all(default is not None for default in given.kw_defaults)
