"""What the storm's repositories hold: an application that starts at once, and commits that build, die or make no sense.

Each commit has an answer of its own, so that whatever answers can be told from everything else that could.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from tests.support.images import BASE_IMAGE

PORT = 8000

_APP = f"""
import os, signal, socket, sys

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
answer = os.environ["ANSWER"].encode()
server = socket.create_server(("0.0.0.0", {PORT}), backlog=64)
while True:
    visitor, _ = server.accept()
    visitor.settimeout(2)
    try:
        visitor.recv(65536)
        visitor.sendall(b"HTTP/1.0 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (len(answer), answer))
    except OSError:
        pass
    visitor.close()
"""

_DOCKERFILE = f'FROM {BASE_IMAGE}\nCOPY app.py /app.py\nCMD ["python", "-I", "-S", "/app.py"]\n'

_APP_SERVICE = f"""\
services:
  app:
    build: .
    expose: ["{PORT}"]
    stop_grace_period: 1s
    environment:
      ANSWER: "ANSWER_OF_THIS_COMMIT"
"""

_DATABASE_SERVICE = """\
      DATABASE_URL: postgresql://u:p@db:5432/app
  db:
    image: postgres:16
"""

_VOLUME = """\
    volumes: [kept:/kept, "./conf:/conf"]
volumes:
  kept: {}
x-preview: {service: app}
"""

_HELPER = """\
  helper:
    build: .
    stop_grace_period: 1s
    environment: {ANSWER: helper}
"""


class Fate(StrEnum):
    """What becomes of a commit when it is deployed."""

    READY = "ready"
    UNBUILDABLE = "unbuildable"
    """Its Dockerfile copies a file that is not there."""
    DYING = "dying"
    """Its application ends as soon as it starts."""
    UNREADABLE = "unreadable"
    """Its Compose file asks for what no preview may have."""


class Shape(StrEnum):
    """What a repository's stack consists of."""

    PLAIN = "plain"
    DATABASE = "database"
    """With a Postgres database of the preview's own."""
    FULL = "full"
    """With a database, a second service, a volume and a bound folder: something of every kind that may leak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one commit is to be."""

    answer: str
    fate: Fate = Fate.READY
    note: str = ""
    """What tells it from a commit that is otherwise equal, and needs no other containers."""
    built: bool = False
    """Whether it needs an image that no commit before it had; else it is another configuration of the same."""


def files(change: Change, shape: Shape) -> Mapping[str, bytes]:
    """The whole repository as this commit leaves it, whatever was in it before."""
    salt = f"# {change.answer}\n" if change.built else ""
    dockerfile = _DOCKERFILE
    if change.fate is Fate.UNBUILDABLE:
        dockerfile = dockerfile.replace("COPY app.py", "COPY not-there.py")
    return {
        "Dockerfile": dockerfile.encode(),
        ".dockerignore": b"*\n!app.py\n",
        "app.py": (salt + _APP).encode(),
        "compose.yaml": _compose(change, shape).encode(),
        "NOTES.md": change.note.encode(),
        "conf/settings.ini": b"[settings]\n",
    }


def _compose(change: Change, shape: Shape) -> str:
    app = _APP_SERVICE.replace("ANSWER_OF_THIS_COMMIT", change.answer)
    if change.fate is Fate.DYING:
        app = app.replace("    environment:", "    command: [python, -c, raise SystemExit(3)]\n    environment:")
    if change.fate is Fate.UNREADABLE:
        app = app.replace("    environment:", "    privileged: true\n    environment:")
    match shape:
        case Shape.PLAIN:
            return app
        case Shape.DATABASE:
            return app + _DATABASE_SERVICE
        case Shape.FULL:
            url, _, server = _DATABASE_SERVICE.partition("  db:")
            volumes, _, declared = _VOLUME.partition("volumes:\n")
            return f"{app}{url}{volumes}{_HELPER}  db:{server}volumes:\n{declared}"
