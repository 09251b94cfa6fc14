"""Small repositories, and what is recognised of them: what serves, what is installed, which database; or what lacks."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from orchestrator.codebase.python.application import Application, application, find_folder
from orchestrator.codebase.python.drivers import driver_of_folder
from orchestrator.preview.errors import AuthorError

FASTAPI = "from fastapi import FastAPI\napp = FastAPI()\n"
FLASK = "from flask import Flask\napp = Flask(__name__)\n"
PROJECT = '[project]\nname = "shop"\nversion = "1"\n'
UV_LOCK = """
[[package]]
name = "shop"
source = { virtual = "." }
dependencies = [{ name = "fastapi", extra = ["standard"] }, { name = "psycopg" }]
[package.dev-dependencies]
dev = [{ name = "asyncpg" }]
[[package]]
name = "fastapi"
[package.optional-dependencies]
standard = [{ name = "uvicorn" }]
[[package]]
name = "uvicorn"
[[package]]
name = "psycopg"
dependencies = [{ name = "sqlalchemy" }]
[[package]]
name = "sqlalchemy"
[[package]]
name = "asyncpg"
"""
POETRY = '[tool.poetry.dependencies]\npython = "^3.11"\nflask = "^3"\n'
POETRY_LOCK = """
[[package]]
name = "flask"
groups = ["main"]
[[package]]
name = "gunicorn"
groups = ["main"]
[[package]]
name = "psycopg2-binary"
groups = ["dev"]
"""
UVICORN = "uvicorn {} --host 0.0.0.0 --port 8000"
DJANGO = {
    "manage.py": "",
    "shop/__init__.py": "",
    "shop/wsgi.py": "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n",
    "shop/asgi.py": "from django.core.asgi import get_asgi_application\napplication = get_asgi_application()\n",
}


@dataclass(frozen=True, kw_only=True)
class Case:
    files: Mapping[str, str]
    command: str
    source: str = "requirements.txt"
    driver: str | None = None
    root: str = "."
    release: str | None = None
    folder: str = "."
    python: str = "3.13"


def needs(*packages: str, **files: str) -> dict[str, str]:
    return {"requirements.txt": "\n".join(packages)} | files


CASES = {
    "main.py": Case(files=needs("fastapi", "uvicorn") | {"main.py": FASTAPI}, command=UVICORN.format("main:app")),
    "a package without __init__": Case(
        files=needs("fastapi") | {"app/main.py": FASTAPI}, command=UVICORN.format("app.main:app")
    ),
    "the src layout": Case(
        files=needs("fastapi") | {"src/shop/main.py": FASTAPI, "src/shop/__init__.py": ""},
        command=UVICORN.format("shop.main:app"),
        root="src",
    ),
    "modules that are imported from their own folder": Case(
        files=needs("fastapi") | {"app/main.py": f"from items import router\n{FASTAPI}", "app/items.py": ""},
        command=UVICORN.format("main:app"),
        root="app",
    ),
    "a folder that is on the path": Case(
        files=needs("fastapi") | {"backend/app/main.py": f"from app.db import x\n{FASTAPI}", "backend/app/db.py": ""},
        command=UVICORN.format("app.main:app"),
        root="backend",
    ),
    "dependencies in a folder of their own": Case(
        files={"backend/requirements.txt": "fastapi", "backend/main.py": FASTAPI, "frontend/package.json": "{}"},
        command=UVICORN.format("main:app"),
        folder="backend",
    ),
    "an annotated name": Case(
        files=needs("fastapi") | {"main.py": "import fastapi as f\napi: f.FastAPI = f.FastAPI(title='x')\n"},
        command=UVICORN.format("main:api"),
    ),
    "made in a try, not under __main__": Case(
        files=needs("fastapi")
        | {"main.py": f"try:\n    {FASTAPI.splitlines()[0]}\nfinally:\n    pass\nif 1:\n    api = FastAPI()\n"
           "if __name__ == '__main__':\n    app = FastAPI()\n"},
        command=UVICORN.format("main:api"),
    ),
    "a factory": Case(
        files=needs("fastapi", "uvicorn")
        | {"app/main.py": "from fastapi import FastAPI\ndef create_app(x=1) -> FastAPI:\n    return FastAPI()\n"},
        command="uvicorn app.main:create_app --factory --host 0.0.0.0 --port 8000",
    ),
    "what a factory of another module made": Case(
        files=needs("flask", "gunicorn")
        | {
            "wsgi.py": "from shop import create_app\napplication = create_app('x')\n",
            "shop/__init__.py": "from flask import Flask\ndef create_app(config):\n    return Flask(__name__)\n",
        },
        command="gunicorn --bind 0.0.0.0:8000 wsgi:application",
    ),
    "Flask with gunicorn": Case(
        files=needs("Flask==3.0", "gunicorn") | {"app.py": FLASK}, command="gunicorn --bind 0.0.0.0:8000 app:app"
    ),
    "Flask alone": Case(
        files=needs("flask") | {"app.py": FLASK}, command="flask --app app:app run --host 0.0.0.0 --port 8000"
    ),
    "a factory of Flask": Case(
        files=needs("flask", "gunicorn")
        | {"shop/__init__.py": "from flask import Flask\ndef create_app():\n    return Flask(__name__)\n"},
        command="gunicorn --bind 0.0.0.0:8000 shop:create_app()",
    ),
    "Starlette with hypercorn": Case(
        files=needs("starlette", "hypercorn")
        | {"main.py": "from starlette.applications import Starlette\napp = Starlette()\n"},
        command="hypercorn --bind 0.0.0.0:8000 main:app",
    ),
    "Litestar": Case(
        files=needs("litestar[standard]") | {"app.py": "from litestar import Litestar\napp = Litestar([])\n"},
        command=UVICORN.format("app:app"),
    ),
    "Quart": Case(
        files=needs("quart") | {"app.py": "from quart import Quart\napp = Quart(__name__)\n"},
        command="hypercorn --bind 0.0.0.0:8000 app:app",
    ),
    "Django": Case(
        files=needs("django", "psycopg[binary]", "gunicorn", "uvicorn") | DJANGO,
        command="gunicorn --bind 0.0.0.0:8000 shop.wsgi:application",
        driver="plain",
        release="python manage.py migrate --noinput",
    ),
    "Django by ASGI": Case(files=needs("django", "uvicorn") | DJANGO, command=UVICORN.format("shop.asgi:application")),
    "[tool.fastapi]": Case(
        files=needs("fastapi")
        | {"pyproject.toml": '[tool.fastapi]\nentrypoint="shop.web:api"\n', "src/shop/web.py": "", "main.py": FASTAPI},
        command=UVICORN.format("shop.web:api"),
        root="src",
    ),
    "a Procfile": Case(
        files=needs("fastapi", "asyncpg")
        | {"Procfile": "release: ./migrate now\nweb: uvicorn a.b:c --port ${PORT:-5000}\nworker: x\n"},
        command="uvicorn a.b:c --port 8000",
        driver="plain",
        release="./migrate now",
    ),
    "a Procfile beside the src layout": Case(
        files=needs("fastapi", **{"Procfile": "web: uvicorn shop.main:app", "src/shop/main.py": FASTAPI}),
        command="uvicorn shop.main:app",
        root="src",
    ),
    "a pyproject.toml of tools only": Case(
        files={"pyproject.toml": "[tool.ruff]\n", "api/requirements.txt": "fastapi", "api/main.py": FASTAPI},
        command=UVICORN.format("main:app"),
        folder="api",
    ),
    "a Procfile that uses a shell": Case(
        files=needs("fastapi", Procfile="web: cd x && uvicorn a:b --port $PORT"),
        command="sh -c cd x && uvicorn a:b --port 8000",
    ),
    "uv.lock, the development group left out": Case(
        files={"pyproject.toml": PROJECT, "uv.lock": UV_LOCK, "requirements.txt": "flask", "main.py": FASTAPI},
        command=UVICORN.format("main:app"),
        source="uv.lock",
        driver="psycopg",
    ),
    "poetry.lock": Case(
        files={"pyproject.toml": POETRY, "poetry.lock": POETRY_LOCK, "app.py": FLASK},
        command="gunicorn --bind 0.0.0.0:8000 app:app",
        source="poetry.lock",
    ),
    "Poetry without a lock": Case(
        files={"pyproject.toml": POETRY, "app.py": FLASK},
        command="flask --app app:app run --host 0.0.0.0 --port 8000",
        source="pyproject.toml",
    ),
    "Pipfile.lock": Case(
        files={
            "Pipfile": '[requires]\npython_version = "3.12"\n[packages]\nflask = "*"\n',
            "Pipfile.lock": '{"default": {"flask": {}, "psycopg2": {}}, "develop": {"asyncpg": {}}}',
            "app.py": FLASK,
        },
        command="flask --app app:app run --host 0.0.0.0 --port 8000",
        source="Pipfile.lock",
        driver="plain",
        python="3.12",
    ),
    "pyproject.toml alone": Case(
        files={
            "pyproject.toml": f'{PROJECT}requires-python = ">=3.10,<3.12"\ndependencies = ["sqlmodel", "asyncpg"]\n',
            "main.py": FASTAPI,
        },
        command=UVICORN.format("main:app"),
        source="pyproject.toml",
        driver="asyncpg",
        python="3.11",
    ),
    "setup.py": Case(
        files={"setup.py": "setup(install_requires=['fastapi>=1', 'asyncpg'])", "main.py": FASTAPI},
        command=UVICORN.format("main:app"),
        source="setup.py",
        driver="plain",
    ),
    "lists that include others": Case(
        files={
            "requirements/prod.txt": "-r base.txt\n-c ../constraints.txt\nuvicorn # serves\n",
            "requirements/base.txt": "-r prod.txt\nFastAPI ~= 0.1 ; python_version > '3'\nSQLAlchemy\npsycopg2-binary",
            "constraints.txt": "",
            "main.py": FASTAPI,
        },
        command=UVICORN.format("main:app"),
        source="requirements/prod.txt",
        driver="psycopg2",
    ),
    "Alembic": Case(
        files=needs("fastapi", "asyncpg", "alembic") | {"main.py": FASTAPI, "alembic.ini": ""},
        command=UVICORN.format("main:app"),
        driver="asyncpg",
        release="alembic upgrade head",
    ),
    "Alembic without a database that stays": Case(
        files=needs("fastapi", "alembic") | {"main.py": FASTAPI, "alembic.ini": ""}, command=UVICORN.format("main:app")
    ),
    "an extra that brings the driver": Case(
        files=needs("fastapi", "databases[postgresql]", "sqlalchemy") | {"main.py": FASTAPI},
        command=UVICORN.format("main:app"),
        driver="plain",
    ),
    "the usual place among others": Case(
        files=needs("fastapi")
        | {"tools/admin.py": FASTAPI, "app/main.py": FASTAPI, "tests/main.py": FASTAPI, "examples/main.py": FASTAPI},
        command=UVICORN.format("app.main:app"),
    ),
    "the usual name among others": Case(
        files=needs("fastapi") | {"main.py": f"{FASTAPI}api = FastAPI()\ninternal = FastAPI()\n"},
        command=UVICORN.format("main:app"),
    ),
    "an unusual place": Case(
        files=needs("fastapi") | {"shop/web/entry/http.py": "from fastapi import FastAPI\nservice = FastAPI()\n"},
        command=UVICORN.format("shop.web.entry.http:service"),
    ),
    "a pinned Python": Case(
        files=needs("fastapi") | {"main.py": FASTAPI, ".python-version": "# ours\n3.11.9\n"},
        command=UVICORN.format("main:app"),
        python="3.11",
    ),
}  # fmt: skip


def encoded(files: Mapping[str, str]) -> dict[str, bytes]:
    return {path: text.encode() for path, text in files.items()}


def found(files: Mapping[str, str]) -> Application:
    return application(encoded(files), find_folder(encoded(files)))


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_recognised(case: Case) -> None:
    app = found(case.files)
    assert app.command is not None
    assert " ".join(app.command) == case.command
    assert app.installation.files[0] == case.source
    assert driver_of_folder(encoded(case.files), app.folder, app.installation.packages) == case.driver
    assert app.root == case.root
    assert (" ".join(app.release) if app.release else None) == case.release
    assert app.folder == case.folder
    assert app.installation.python == case.python


ERRORS = {
    "nothing of Python": ({"README.md": ""}, "looked for uv.lock, poetry.lock, Pipfile.lock", "Dockerfile"),
    "Node": ({"package.json": "{}"}, "package.json looks like Node, and previewd recognises Python only", "Dockerfile"),
    "Go": ({"go.mod": "", "main.go": ""}, "go.mod looks like Go", "Dockerfile"),
    "no application": (needs("fastapi", **{"x.py": "print(1)"}), "app/main.py", "web: uvicorn"),
    "a program that may serve": (
        {"pyproject.toml": f'{PROJECT}dependencies = []\nscripts = {{serve = "a:b"}}\n'},
        "`serve`",
        "web: ",
    ),
    "two at equal places": (
        needs("fastapi") | {"one/main.py": FASTAPI, "two/main.py": FASTAPI},
        "`app` (FastAPI, one/main.py:2), `app` (FastAPI, two/main.py:2)",
        "web: uvicorn one.main:app",
    ),
    "two at unusual places": (
        needs("flask") | {"a/b/c.py": FLASK, "a/b/d.py": FLASK},
        "a/b/c.py:2",
        "web: gunicorn a.b.c:app --bind 0.0.0.0:$PORT",
    ),
    "two folders": (
        {"one/requirements.txt": "", "two/pyproject.toml": PROJECT},
        "several folders could hold the application: one, two",
        "build: ./one",
    ),
    "a broken pyproject.toml": ({"pyproject.toml": "[project\n"}, "pyproject.toml cannot be read", "correct it"),
    "a broken entry": (
        needs("fastapi", **{"pyproject.toml": '[tool.fastapi]\nentrypoint = "a b:c"'}),
        "`a b:c`",
        'entrypoint = "app.main:app"',
    ),
    "modules that cannot be read": (
        needs("fastapi", **{"main.py": "def (", "app.py": "#" * 200_000}),
        "app.py is too large, or no Python that can be read",
        "web: ",
    ),
}


@pytest.mark.parametrize(("files", "message", "remedy"), ERRORS.values(), ids=list(ERRORS))
def test_what_cannot_be_recognised(files: Mapping[str, str], message: str, remedy: str) -> None:
    with pytest.raises(AuthorError) as error:
        found(files)
    assert message in error.value.message
    assert remedy in error.value.remedy


@pytest.mark.parametrize(
    ("files", "note"),
    [
        (needs("fastapi", **{"main.py": FASTAPI}), "uvicorn is not among the dependencies"),
        (needs("fastapi", "redis", "celery", **{"main.py": FASTAPI}), "redis is among the dependencies, and no Redis"),
        (needs("fastapi", "alembic", **{"main.py": FASTAPI, "alembic.ini": ""}), "no migration is run"),
        (
            needs("fastapi", **{"main.py": FASTAPI, "x/y.py": FASTAPI}),
            "also found, and not served: `app` (FastAPI, x/y",
        ),
        (needs("fastapi", **{"main.py": FASTAPI, "app.py": "("}), "app.py is too large, or no Python"),
    ],
)
def test_what_people_should_know(files: Mapping[str, str], note: str) -> None:
    assert any(note in each for each in found(files).notes), found(files).notes
