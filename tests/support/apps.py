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


# Applications in the shapes that people have: what they hold is read, and not built


_SERVER = "  db:\n    image: postgres:16\n    environment: {POSTGRES_PASSWORD: p}\n"
_API = "services:\n  api:\n    build: .\n    expose: [8000]\n"
_ASYNC_ENGINE = """\
from sqlalchemy.ext.asyncio import create_async_engine

from app.settings import settings

engine = create_async_engine(settings.database_url)
"""
_TURNING_ENGINE = """\
import os

from sqlalchemy.ext.asyncio import create_async_engine

url = os.environ["DATABASE_URL"]
if url.startswith("postgresql://"):
    url = url.replace("postgresql://", "postgresql+asyncpg://", 1)
engine = create_async_engine(url)
"""
_SYNC_ENGINE = """\
import os

from sqlalchemy import create_engine

engine = create_engine(os.environ["DATABASE_URL"])
"""
_ENV = """\
import os

from alembic import context
from sqlalchemy import engine_from_config

context.config.set_main_option("sqlalchemy.url", os.environ["{variable}"])
engine = engine_from_config(context.config.get_section("alembic"))
"""


def two_urls(*, with_server: bool) -> dict[str, bytes]:
    """An asynchronous URL for the application, a synchronous one for Alembic; `with_server` sets them in the file."""
    environment = (
        "    environment:\n      DATABASE_URL: postgresql+asyncpg://u:p@db:5432/app\n"
        "      ALEMBIC_DATABASE_URL: postgresql://u:p@db:5432/app\n    depends_on: [db]\n"
    )
    return _application(
        _API + (environment + _SERVER if with_server else ""),
        _ASYNC_ENGINE,
        _ENV.format(variable="ALEMBIC_DATABASE_URL"),
        "asyncpg\npsycopg2-binary\nsqlalchemy[asyncio]==2.0.44\n",
    )


def one_url(*, with_server: bool) -> dict[str, bytes]:
    """One plain DATABASE_URL, which the code turns into the asynchronous form and `alembic/env.py` reads as it is."""
    environment = "    environment: {DATABASE_URL: 'postgresql://u:p@db:5432/app'}\n    depends_on: [db]\n"
    return _application(
        _API + (environment + _SERVER if with_server else ""),
        _TURNING_ENGINE,
        _ENV.format(variable="DATABASE_URL"),
        "asyncpg\npsycopg2-binary\nsqlalchemy[asyncio]==2.0.44\n",
    )


def parts() -> dict[str, bytes]:
    """One that puts its URL together from POSTGRES_SERVER, POSTGRES_USER and so on."""
    environment = (
        "    environment:\n      POSTGRES_SERVER: db\n      POSTGRES_PORT: 5432\n      POSTGRES_USER: u\n"
        "      POSTGRES_PASSWORD: mine\n      POSTGRES_DB: app\n    depends_on: [db]\n"
    )
    return _application(_API + environment + _SERVER, _ASYNC_ENGINE, _ENV.format(variable="URL"), "asyncpg\n")


def synchronous() -> dict[str, bytes]:
    """One that knows psycopg2 only."""
    environment = "    environment: [DATABASE_URL]\n    depends_on: [db]\n"
    requirements = "sqlalchemy\npsycopg2-binary\n"
    return _application(_API + environment + _SERVER, _SYNC_ENGINE, _ENV.format(variable="DATABASE_URL"), requirements)


def _application(compose: str, engine: str, env: str, requirements: str) -> dict[str, bytes]:
    files = {
        "Dockerfile": _DOCKERFILE,
        "compose.yaml": compose,
        "requirements.txt": requirements,
        "app/database.py": engine,
        "alembic/env.py": env,
        "alembic.ini": "[alembic]\nscript_location = alembic\n",
        "alembic/versions/0001_first.py": 'revision = "0001"\ndown_revision = None\n',
    }
    return {path: text.encode() for path, text in files.items()}
