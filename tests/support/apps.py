"""The smallest repositories that previewd can bring up: they build in a second, and misbehave on demand."""

from collections.abc import Mapping

BASE_IMAGE = "python:3.11-slim"

_DOCKERFILE = f'FROM {BASE_IMAGE}\nWORKDIR /code\nCOPY . .\nEXPOSE 8000\nCMD ["python", "app.py"]\n'

_APP = """
import http.server, os, socket, sys

ANSWER = {answer!r}

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        host, _, port = self.path.removeprefix("/reach/").partition("/")
        if self.path.startswith("/reach/"):
            try:
                socket.create_connection((host, int(port)), timeout=2).close()
                answer = "reached"
            except OSError as error:
                answer = f"refused: {{error}}"
        elif self.path.startswith("/list/"):
            answer = "\\n".join(sorted(os.listdir(self.path.removeprefix("/list"))))
        elif self.path == "/environment":
            answer = "\\n".join(f"{{name}}={{value}}" for name, value in os.environ.items())
        else:
            answer = ANSWER
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *_):
        pass

{start}
"""

_SERVE = 'http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Handler).serve_forever()'

_RECOGNISABLE = """
import os

import asyncpg
from fastapi import FastAPI

app = FastAPI()


@app.get("/health")
async def health() -> dict[str, str]:
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    try:
        return {"database": await connection.fetchval("SELECT current_database()"), "commit": os.environ["GIT_SHA"]}
    finally:
        await connection.close()
"""

COMPOSE = """\
services:
  app:
    build: .
    expose: ["8000"]
"""


def tiny(answer: str = "hello", *, compose: str = COMPOSE, start: str = _SERVE) -> dict[str, bytes]:
    """An application that answers every GET with `answer`, `/reach/HOST/PORT` with what it can reach,
    `/list/FOLDER` with what is in a folder of its container."""
    return {
        "Dockerfile": _DOCKERFILE.encode(),
        "compose.yaml": compose.encode(),
        "app.py": _APP.format(answer=answer, start=start).encode(),
    }


def slow_build(seconds: int, answer: str = "slow") -> Mapping[str, bytes]:
    """The same, with a build that takes its time, and that no cache shortens: its answer is part of the step."""
    dockerfile = _DOCKERFILE.replace("EXPOSE", f"RUN echo {answer} && sleep {seconds}\nEXPOSE")
    return {**tiny(answer), "Dockerfile": dockerfile.encode()}


def crashing(message: str) -> dict[str, bytes]:
    """One that prints a message and exits before it ever answers."""
    return tiny(start=f"sys.exit({message!r})")


def recognisable() -> dict[str, bytes]:
    """A FastAPI application on Postgres with neither a Dockerfile nor a Compose file."""
    return {
        ".python-version": b"3.11\n",  # the base image that tests have
        "requirements.txt": b"fastapi\nuvicorn\nasyncpg\n",
        "src/shop/__init__.py": b"",
        "src/shop/main.py": _RECOGNISABLE.encode(),
    }
