"""Which application of the code is served: what the repository names, else the one at the most usual place."""

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orchestrator.codebase.contents import table, toml
from orchestrator.codebase.python.web_apps import DJANGO, DJANGO_ASGI, FASTAPI, Framework, WebApp, applications
from orchestrator.preview.errors import AuthorError

PLACES = (
    *("main.py", "app.py", "api.py", "asgi.py", "wsgi.py", "server.py", "application.py"),
    *("app/main.py", "app/app.py", "app/api.py", "app/asgi.py", "app/wsgi.py", "app/server.py", "app/__init__.py"),
    *("src/main.py", "src/app.py", "src/app/main.py", "src/*/main.py", "src/*/app.py", "src/*/asgi.py"),
    *("src/*/wsgi.py", "src/*/api.py", "src/*/server.py", "src/*/__init__.py", "api/main.py", "api/app.py"),
    *("backend/app/main.py", "backend/main.py", "*/main.py", "*/app.py", "*/asgi.py", "*/wsgi.py", "*/api.py"),
    *("*/server.py", "*/__init__.py"),
)
"""The usual places, the most usual first; `*` is any folder. FastAPI's and Flask's own come before all others."""
_NAMES = ("app", "application", "api", "server", "create_app", "make_app", "get_app", "build_app", "create_application")


_NOTHING = (
    "no application to serve was found: there is no `web:` line in a Procfile, no [tool.fastapi] entrypoint in "
    "pyproject.toml, and no module at the usual places (main.py, app.py, app/main.py, src/*/main.py, api/main.py …) or "
    "elsewhere makes one of FastAPI, Starlette, Litestar, Quart, Flask or Django"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrypoint:
    """What is served."""

    target: str
    """`module:name`."""
    framework: Framework
    where: str
    """The file, and the line if it is known."""
    is_factory: bool = False
    root: str = "."
    """The folder from which its modules are imported."""
    notes: tuple[str, ...] = ()


def entrypoint(files: Mapping[str, bytes], names: frozenset[str]) -> Entrypoint:
    """Raises AuthorError where nothing in the code makes an application, and where several could be meant."""
    named = table(toml(files, "pyproject.toml"), "tool", "fastapi").get("entrypoint")
    if isinstance(named, str):
        return _named(files, named)
    found, unread = applications(files)
    candidates = sorted(_of_one_interface(found, names), key=_rank)
    notes = [f"{path} is too large, or no Python that can be read: it was left out" for path in unread]
    if not candidates:
        raise AuthorError("; ".join((_NOTHING, *notes)), _remedy(FASTAPI, "app.main:app"))
    first, *others = candidates
    if others and _rank(others[0]) == _rank(first):
        equal = [each for each in candidates if _rank(each) == _rank(first)]
        raise AuthorError(
            f"several applications could be meant: {', '.join(map(_said, equal))}",
            _remedy(first.framework, _target(first, _root(first, files))),
        )
    if others:
        notes.append(f"also found, and not served: {', '.join(map(_said, others))}")
    return _entrypoint(first, _root(first, files), notes)


def usual_root(files: Mapping[str, bytes]) -> str:
    """Where modules are imported from, if nothing else tells: `src` where there is one, unless it is a package."""
    has_source = any(path.startswith("src/") and path.endswith(".py") for path in files)
    return "src" if has_source and "src/__init__.py" not in files else "."


def _named(files: Mapping[str, bytes], target: str) -> Entrypoint:
    """`[tool.fastapi] entrypoint = "app.main:app"`."""
    module, _, name = target.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), name)):
        raise AuthorError(
            f"pyproject.toml: `{target}` in [tool.fastapi] is not `module:name`", 'write entrypoint = "app.main:app"'
        )
    path = module.replace(".", "/")
    root = "src" if any(f"src/{path}{end}" in files for end in (".py", "/__init__.py")) else "."
    return Entrypoint(target=target, framework=FASTAPI, where="pyproject.toml [tool.fastapi]", root=root)


def _entrypoint(found: WebApp, root: str, notes: Iterable[str]) -> Entrypoint:
    return Entrypoint(
        target=_target(found, root),
        framework=found.framework,
        where=f"{found.path}:{found.line}",
        is_factory=found.is_factory,
        root=root,
        notes=tuple(notes),
    )


def _of_one_interface(found: Iterable[WebApp], names: frozenset[str]) -> list[WebApp]:
    """A Django project has a module for WSGI and one for ASGI: only one of them is served."""
    found = list(found)
    both = {each.framework for each in found} >= {DJANGO, DJANGO_ASGI}
    unwanted = DJANGO if "uvicorn" in names and "gunicorn" not in names else DJANGO_ASGI
    return [each for each in found if not (both and each.framework is unwanted)]


def _rank(found: WebApp) -> tuple[int, bool, int]:
    place = next((number for number, place in enumerate(PLACES) if _is_at(found.path, place)), len(PLACES))
    name = _NAMES.index(found.name) if found.name in _NAMES else len(_NAMES)
    return place, found.is_factory, name


def _is_at(path: str, place: str) -> bool:
    parts, wanted = path.split("/"), place.split("/")
    return len(parts) == len(wanted) and all(want in ("*", part) for part, want in zip(parts, wanted, strict=True))


def _root(found: WebApp, files: Mapping[str, bytes]) -> str:
    """The folder that the module's own imports are found in; where they tell nothing, the usual one.

    `backend/app/main.py` that imports `app.items` runs from `backend`, and one that imports `backend.app` does not.
    """
    folders = _above(found.path)
    if found.framework in (DJANGO, DJANGO_ASGI):
        return next((folder for folder in folders if _join(folder, "manage.py") in files), ".")
    hits = {folder: sum(_is_module(files, _join(folder, name)) for name in _ways(found)) for folder in folders}
    usual = usual_root(files) if "src" in folders else "."
    best = max(hits.values())
    return usual if hits[usual] == best else next(folder for folder in folders if hits[folder] == best)


def _above(path: str) -> list[str]:
    """The folders that hold the module, the repository's root first."""
    parts = path.split("/")[:-1]
    return [".", *("/".join(parts[: count + 1]) for count in range(len(parts)))]


def _ways(found: WebApp) -> list[str]:
    return [name.replace(".", "/") for name in found.imports]


def _is_module(files: Mapping[str, bytes], path: str) -> bool:
    return f"{path}.py" in files or f"{path}/__init__.py" in files


def _target(found: WebApp, root: str) -> str:
    path = posixpath.relpath(found.path, root).removesuffix(".py").removesuffix("/__init__")
    return f"{path.replace('/', '.')}:{found.name}"


def _said(found: WebApp) -> str:
    kind = f"{found.framework.name} factory" if found.is_factory else found.framework.name
    return f"`{found.name}` ({kind}, {found.path}:{found.line})"


def _remedy(framework: Framework, target: str) -> str:
    serving = f"uvicorn {target} --host 0.0.0.0 --port" if framework.is_async else f"gunicorn {target} --bind 0.0.0.0:"
    return f"name the one to serve in a Procfile: `web: {serving}{' ' * framework.is_async}$PORT`"


def _join(folder: str, path: str) -> str:
    return path if folder == "." else f"{folder}/{path}"
