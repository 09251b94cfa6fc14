"""Which form of DATABASE_URL a repository's code wants: one small repository for each way that code has."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.codebase.contents import MAX_TEXT_BYTES
from orchestrator.codebase.python.drivers import Form, driver_of_folder, form_of_code, form_of_packages
from orchestrator.codebase.python.packages import read_packages
from orchestrator.codebase.python.syntax import MAX_MODULE_BYTES

ASYNC = "from sqlalchemy.ext.asyncio import create_async_engine\n"
SYNC = "from sqlalchemy import create_engine\n"
ENV_SYNC = SYNC + "import os\nengine = create_engine(os.environ['DATABASE_URL'])\n"


def form(requirements: str = "asyncpg sqlalchemy", **modules: str) -> Form:
    """The form for a repository with these files; `__` in a name is a dot, `___` a slash."""
    files = {name.replace("___", "/").replace("__", "."): text.encode() for name, text in modules.items()}
    files["requirements.txt"] = requirements.replace(" ", "\n").encode()
    packages = read_packages(files, files)
    paths = list(files)
    return form_of_code(files, paths, packages) or form_of_packages(paths, packages)


TURNED = "the code turns it into +asyncpg itself"


@pytest.mark.parametrize(
    "code",
    [
        'url = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://")',
        'url = settings.database_url.replace("postgres://", "postgresql+asyncpg://", 1)',
        'url = re.sub(r"^postgresql:", "postgresql+asyncpg:", url)',
        'url = url.replace("postgresql", "postgresql+asyncpg")',
        'url = re.sub(r"^postgres(ql)?://", "postgresql+asyncpg://", url)',
        'url = f"postgresql+asyncpg://{url[len(prefix):]}"',
        "url = f\"postgresql+asyncpg://{url.split('://')[1]}\"",
        'url = "postgresql+asyncpg://" + url.removeprefix("postgresql://")',
        'url = make_url(url).set(drivername="postgresql+asyncpg")',
        'if url.startswith("postgresql://"):\n    url = "postgresql+asyncpg" + url[10:]',
        'if url.drivername == "postgresql":\n    url = url.set(drivername="postgresql+asyncpg")',
        (
            "class S:\n    @property\n    def async_url(self):\n"
            '        return self.DATABASE_URL.replace("postgresql://", "postgresql+asyncpg://")'
        ),
    ],
)
def test_code_that_turns_the_url_itself_wants_the_plain_one(code: str) -> None:
    found = form(
        app___db__py=f"import os, re\n{ASYNC}{code}\nengine = create_async_engine(url)\n", alembic___env__py=ENV_SYNC
    )
    assert (found.scheme, found.why) == ("postgresql", TURNED)
    assert found.where is not None
    assert found.where.file == "app/db.py"
    assert found.where.line > 2


@pytest.mark.parametrize(
    ("requirements", "code", "scheme"),
    [
        ("asyncpg", ASYNC + "engine = create_async_engine(settings.DATABASE_URL)", "postgresql+asyncpg"),
        (
            "asyncpg",
            "import sqlalchemy.ext.asyncio as sa\ne = sa.create_async_engine(database_url)",
            "postgresql+asyncpg",
        ),
        ("psycopg[binary]", ASYNC + "engine = create_async_engine(settings.DATABASE_URL)", "postgresql+psycopg"),
        ("flask", ASYNC + "engine = create_async_engine(settings.DATABASE_URL)", "postgresql+asyncpg"),
        (
            "asyncpg",
            "from x import create_engine, AsyncEngine\ne = AsyncEngine(create_engine(database_url))",
            "postgresql+asyncpg",
        ),
        ("psycopg2-binary", SYNC + "engine = create_engine(os.environ['DATABASE_URL'])", "postgresql+psycopg2"),
        ("psycopg2-binary sqlalchemy==2.0.1", SYNC + "engine = create_engine(DATABASE_URL)", "postgresql"),
        (
            "psycopg",
            "from sqlmodel import create_engine\ne = create_engine(settings.database_url)",
            "postgresql+psycopg",
        ),
        (
            "asyncpg psycopg2",
            SYNC + ASYNC + "a = create_async_engine(async_url)\nb = create_engine(DATABASE_URL)",
            "postgresql+psycopg2",
        ),
        (
            "asyncpg psycopg2",
            SYNC + ASYNC + "a = create_async_engine(DATABASE_URL)\nb = create_engine(SYNC_DATABASE_URL)",
            "postgresql+asyncpg",
        ),
        ("asyncpg", "import asyncpg, os\npool = await_(asyncpg.create_pool(os.environ['DATABASE_URL']))", "postgresql"),
        ("asyncpg", "from asyncpg import connect\nc = connect(dsn=os.environ['DATABASE_URL'])", "postgresql"),
        ("psycopg", "import psycopg\nc = psycopg.connect(os.environ['DATABASE_URL'])", "postgresql"),
        ("psycopg", "from psycopg_pool import AsyncConnectionPool as P\np = P(settings.database_url)", "postgresql"),
        ("psycopg2", "import psycopg2 as pg\nc = pg.connect(os.environ['DATABASE_URL'])", "postgresql"),
        ("databases asyncpg", "import databases\nd = databases.Database(DATABASE_URL)", "postgresql"),
        ("databases asyncpg", "from databases import Database\nd = Database(DATABASE_URL)", "postgresql"),
        ("django psycopg", "import dj_database_url\nDATABASES = {'default': dj_database_url.config()}", "postgresql"),
        ("django psycopg", "import environ\nenv = environ.Env()\nDATABASES = {'default': env.db()}", "postgresql"),
        (
            "tortoise-orm asyncpg",
            (
                "from tortoise.contrib.fastapi import register_tortoise\n"
                "register_tortoise(app, db_url=os.environ['DATABASE_URL'])"
            ),
            "postgres",
        ),
        ("tortoise-orm asyncpg", "TORTOISE = {}", "postgres"),
        (
            "asyncpg",
            "class S(BaseSettings):\n    DATABASE_URL: str = 'postgresql+asyncpg://u:p@localhost/x'",
            "postgresql+asyncpg",
        ),
        (
            "asyncpg",
            "class S(BaseSettings):\n    database_url: PostgresDsn = Field('postgresql://u:p@localhost/x')",
            "postgresql",
        ),
        (
            "asyncpg psycopg2",
            "import os\nURL = os.getenv('DATABASE_URL', 'postgresql+psycopg2://u:p@localhost/x')",
            "postgresql+psycopg2",
        ),
        (
            "asyncpg",
            "DATABASE_URL = os.environ.get('DATABASE_URL') or 'postgresql+asyncpg://u@h/x'",
            "postgresql+asyncpg",
        ),
        ("asyncpg", "U = config('DATABASE_URL', default='postgresql+psycopg://u@h/x')", "postgresql+psycopg"),
        (
            "asyncpg",
            ASYNC + "e = create_async_engine(f'postgresql+asyncpg://{user}:{password}@{host}/{name}')",
            "postgresql+asyncpg",
        ),
        (
            "asyncpg psycopg2",
            ASYNC + "u = str(settings.database_url).replace('+asyncpg', '+psycopg2')",
            "postgresql+asyncpg",
        ),
        ("psycopg2 sqlalchemy", "x = 1", "postgresql+psycopg2"),
        ("psycopg sqlalchemy", "x = 1", "postgresql+psycopg"),
        ("psycopg psycopg2 sqlalchemy", "x = 1", "postgresql"),
        ("pg8000 sqlalchemy", "x = 1", "postgresql+pg8000"),
        ("asyncpg", "x = 1", "postgresql"),
        ("psycopg2", "x = 1", "postgresql"),
        ("psycopg", "x = 1", "postgresql"),
        ("asyncpg sqlmodel", "x = 1", "postgresql+asyncpg"),
        ("aiopg sqlalchemy", "x = 1", "postgresql"),
        ("flask", "x = 1", "postgresql+asyncpg"),
        ("asyncpg sqlalchemy", "def broken(:\n  create_engine(DATABASE_URL)", "postgresql+asyncpg"),
    ],
)
def test_the_form_that_code_wants(requirements: str, code: str, scheme: str) -> None:
    assert form(requirements, app___db__py=code).scheme == scheme


def test_a_driver_without_sqlalchemy_takes_no_scheme_but_its_own() -> None:
    assert form("asyncpg", main__py="x = 1").why == "asyncpg is among the dependencies, and SQLAlchemy is not"


@pytest.mark.parametrize(
    ("requirements", "code", "driver"),
    [
        ("asyncpg sqlalchemy", "x = 1", "asyncpg"),
        ("asyncpg sqlalchemy", 'u = url.replace("postgresql://", "postgresql+asyncpg://")', "plain"),
        ("psycopg psycopg2 sqlalchemy", ASYNC + "e = create_async_engine(DATABASE_URL)", "psycopg"),
        ("psycopg2 sqlalchemy==2.0.1", "x = 1", "plain"),
        ("pg8000 sqlalchemy", "x = 1", None),
        ("tortoise-orm[asyncpg]", "x = 1", None),
        ("sqlalchemy", ASYNC + "e = create_async_engine(DATABASE_URL)", None),
    ],
)
def test_the_word_for_what_a_folder_builds(requirements: str, code: str, driver: str | None) -> None:
    listed = requirements.replace(" ", "\n").encode()
    files = {"api/requirements.txt": listed, "api/db.py": code.encode(), "web/db.py": SYNC.encode()}
    packages = read_packages(files, ["api/requirements.txt"])
    assert driver_of_folder(files, "api", packages) == driver


def test_the_application_decides_and_not_its_migrations() -> None:
    code = ASYNC + "engine = create_async_engine(url)"
    assert form("psycopg2 asyncpg", app___db__py=code, alembic___env__py=ENV_SYNC).scheme == "postgresql+asyncpg"


def test_a_url_that_is_put_together_is_not_turned() -> None:
    code = ASYNC + "engine = create_async_engine(f'postgresql+asyncpg://{address}/{name}')"
    assert form("asyncpg", app___db__py=code).why == "the code calls create_async_engine"


def test_one_url_for_an_async_application_and_sync_migrations_needs_psycopg() -> None:
    code = ASYNC + "engine = create_async_engine(settings.DATABASE_URL)"
    assert form("psycopg asyncpg", app___db__py=code, alembic___env__py=ENV_SYNC).scheme == "postgresql+psycopg"
    other = ENV_SYNC.replace("DATABASE_URL", "ALEMBIC_DATABASE_URL")
    assert form("psycopg asyncpg", app___db__py=code, alembic___env__py=other).scheme == "postgresql+asyncpg"


def test_an_env_py_that_takes_the_driver_out_wants_it_in() -> None:
    code = ASYNC + "engine = create_async_engine(url)"
    env = "url = settings.database_url.replace('postgresql+asyncpg://', 'postgresql://')"
    found = form("asyncpg psycopg2", app___db__py=code, alembic___env__py=env)
    assert (found.scheme, found.why) == ("postgresql+asyncpg", "the code takes +asyncpg out of it for other uses")


def test_an_env_py_that_puts_a_sync_driver_in_says_nothing_about_an_async_application() -> None:
    code = ASYNC + "engine = create_async_engine(settings.database_url)"
    env = "url = settings.alembic_database_url.replace('postgresql://', 'postgresql+psycopg2://')"
    assert form("asyncpg psycopg2", app___db__py=code, alembic___env__py=env).scheme == "postgresql+asyncpg"


def test_an_example_of_the_environment_tells() -> None:
    example = "# local\nDATABASE_URL=postgresql+psycopg://u:p@localhost/x\n"
    found = form("asyncpg", __env__example=example)
    assert (found.scheme, found.where and found.where.line) == ("postgresql+psycopg", 2)


@pytest.mark.parametrize(("name", "language"), [("package.json", "JavaScript"), ("go.mod", "Go"), ("Gemfile", "Ruby")])
def test_other_languages_want_a_plain_url(name: str, language: str) -> None:
    found = form_of_packages([name, "src/main"], read_packages({}, []))
    assert (found.scheme, found.why) == ("postgresql", f"the application is written in {language}")


HOSTILE = [
    "a" + ".b" * 20_000,
    "-" * 20_000 + "1",
    "(" * 20_000,
    "1" + "+1" * 20_000,
    "not " * 12_000 + "1",
    "\0",
    "'\\ud800'",
]


@pytest.mark.parametrize("code", HOSTILE)
def test_code_that_attacks_the_parser_says_nothing(code: str) -> None:
    assert form(app___db__py=f"# postgres\nx = {code}").why == "asyncpg is among the dependencies"


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: f"# postgres\n{text}".encode())))
def test_whatever_a_module_holds_it_is_read(content: bytes) -> None:
    form_of_code({"db.py": content}, ["db.py"], read_packages({}, []))


@given(st.sampled_from([ASYNC, SYNC, ENV_SYNC]).map(ast.parse).map(ast.unparse), st.integers(0, 60))
def test_a_module_that_is_cut_off_breaks_nothing(code: str, end: int) -> None:
    form_of_code({"db.py": code[:end].encode()}, ["db.py"], read_packages({}, []))


def test_a_module_that_is_generated_says_nothing() -> None:
    files = {"db.py": b"create_engine(DATABASE_URL)\n" * (MAX_MODULE_BYTES // 20)}
    assert form_of_code(files, list(files), read_packages({}, [])) is None


def test_an_example_of_empty_lines_is_read_once() -> None:
    """A pattern that tries again at every line would take minutes."""
    files = {".env.example": b"\n" * (MAX_TEXT_BYTES - 40) + b"DATABASE_URL=postgresql+psycopg://u@h/d"}
    found = form_of_code(files, list(files), read_packages(files, files))
    assert found is not None
    assert found.scheme == "postgresql+psycopg"
