"""The commands of an application: what serves it, and what is run once before. As argument lists, never a shell's.

Only a Procfile's line that uses a shell gets one, inside of its own container.
"""

import re
import shlex
from collections.abc import Iterator, Mapping

from orchestrator.codebase.contents import whole_text
from orchestrator.codebase.python.entrypoint import Entrypoint
from orchestrator.codebase.python.web_apps import FLASK

Command = tuple[str, ...]
SERVERS: Mapping[str, str] = {"uvicorn": "uvicorn>=0.30,<1", "gunicorn": "gunicorn>=22,<26"}
"""The servers that are installed where the dependencies name none: what is written for pip."""
_LINE = re.compile(r"([A-Za-z0-9_-]+)\s*:\s*([ -~]+)")
_PORT = re.compile(r"\$(?:PORT\b|\{PORT(?::?-\d+)?\})")
_OF_A_SHELL = re.compile(r"[$`&|;<>(){}*?~\\]|^\w+=")


def procfile(files: Mapping[str, bytes], port: int) -> Mapping[str, Command]:
    """The commands of a Procfile by their names, with `port` in place of `$PORT`."""
    lines = (_LINE.fullmatch(line.strip()) for line in whole_text(files, "Procfile").splitlines())
    return {match[1]: _words(_PORT.sub(str(port), match[2].strip())) for match in lines if match}


def serving(entry: Entrypoint, names: frozenset[str], port: int) -> tuple[Command, str | None]:
    """What serves it on `port` of every address, and the server to install where the dependencies name none."""
    server = _server(entry, names)
    called = f"{entry.target}()" if entry.is_factory else entry.target
    missing = server if server in SERVERS and server not in names else None
    match server:
        case "uvicorn":
            factory = ("--factory",) if entry.is_factory else ()
            return ("uvicorn", entry.target, *factory, "--host", "0.0.0.0", "--port", str(port)), missing  # noqa: S104
        case "flask":
            return ("flask", "--app", entry.target, "run", "--host", "0.0.0.0", "--port", str(port)), missing  # noqa: S104
        case _:
            return (server, "--bind", f"0.0.0.0:{port}", called), missing


def migrating(files: Mapping[str, bytes], names: frozenset[str]) -> Command | None:
    """What brings the application's database up to date."""
    if "alembic.ini" in files and "alembic" in names:
        return ("alembic", "upgrade", "head")
    if "manage.py" in files and "django" in names:
        return ("python", "manage.py", "migrate", "--noinput")
    return None


def _server(entry: Entrypoint, names: frozenset[str]) -> str:
    return next((server for server in _servers(entry) if server in names), _default(entry))


def _servers(entry: Entrypoint) -> Iterator[str]:
    yield from ("uvicorn", "hypercorn") if entry.framework.is_async else ("gunicorn",)


def _default(entry: Entrypoint) -> str:
    """Flask brings a server of its own, which is good enough for a preview; Django's is not meant to be reached."""
    if entry.framework.is_async:
        return "uvicorn"
    return "flask" if entry.framework is FLASK else "gunicorn"


def _words(line: str) -> Command:
    if _OF_A_SHELL.search(line) is None:
        try:
            return tuple(shlex.split(line))
        except ValueError:
            pass  # a quote without its end: let the shell say so
    return ("sh", "-c", line)
