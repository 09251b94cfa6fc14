"""What locks hold: which packages the application itself needs, on which line, from where."""

from collections.abc import Iterable

import pytest

from orchestrator.codebase.python.locks import has_local, of_pipfile_lock, of_poetry_lock, of_uv_lock
from orchestrator.codebase.python.requirement import Requirement

UV_LOCK = """version = 1

[[package]]
name = "shop"
version = "1"
source = { editable = "." }
dependencies = [
    { name = "fastapi", extra = ["standard"] },
    { name = "psycopg" },
]

[package.optional-dependencies]
cache = [
    { name = "redis" },
]

[package.dev-dependencies]
dev = [
    { name = "asyncpg" },
]

[[package]]
name = "fastapi"
version = "0.115.0"
source = { registry = "https://example.com/simple" }
sdist = { url = "https://example.com/fastapi.tar.gz", hash = "sha256:aa", size = 1 }
wheels = [
    { url = "https://example.com/fastapi.whl", hash = "sha256:bb", size = 1 },
]

[package.optional-dependencies]
all = [
    { name = "itsdangerous" },
]
standard = [
    { name = "uvicorn", extra = ["standard"] },
]

[[package]]
name = "psycopg"
version = "3.2.1"

[[package]]
name = "uvicorn"
version = "0.30.0"

[[package]]
name = "asyncpg"
version = "0.29.0"

[[package]]
name = "itsdangerous"
version = "2"
"""


def by_name(found: Iterable[Requirement]) -> dict[str, Requirement]:
    return {each.name: each for each in found}


def test_what_the_project_leads_to_with_the_extras_that_are_asked_for() -> None:
    found = by_name(of_uv_lock(UV_LOCK))
    assert {name for name, each in found.items() if each.is_main} == {"fastapi", "psycopg", "uvicorn"}
    assert found.keys() == {"fastapi", "psycopg", "uvicorn", "asyncpg", "itsdangerous"}, "without the project itself"
    assert (found["fastapi"].extras, found["uvicorn"].extras, found["psycopg"].extras) == (
        ("standard",),
        ("standard",),
        (),
    )


def test_the_line_is_the_package_s_own() -> None:
    found = by_name(of_uv_lock(UV_LOCK))
    assert (found["psycopg"].version, UV_LOCK.splitlines()[found["psycopg"].line - 1]) == ("3.2.1", 'name = "psycopg"')


def test_archives_make_no_lock_too_long() -> None:
    archive = '    {{ url = "https://example.com/{0}.whl", hash = "sha256:{0:064}", size = 1 }},\n'
    many = "".join(archive.format(number) for number in range(10_000))
    lock = UV_LOCK.replace("wheels = [\n", f"wheels = [\n{many}")
    assert len(lock) > 1_000_000
    assert [each.name for each in of_uv_lock(lock)] == [each.name for each in of_uv_lock(UV_LOCK)]


@pytest.mark.parametrize(
    ("details", "is_main"),
    [
        ("", True),
        ('groups = ["main", "dev"]', True),
        ('groups = ["dev"]', False),
        ('groups = ["default"]', True),
        ("groups = 5", True),
        ('category = "dev"', False),
        ("optional = true", False),
    ],
)
def test_the_groups_of_poetry_and_pdm(details: str, is_main: bool) -> None:
    (found,) = of_poetry_lock(
        f'[[package]]\nname = "Flask"\nversion = "3.0"\n{details}\nfiles = [\n    {{file = "x"}},\n]'
    )
    assert found == Requirement(name="flask", version="3.0", line=2, is_main=is_main)


def test_the_sections_of_pipenv() -> None:
    lock = '{"default": {\n"psycopg": {"version": "==3.2", "extras": ["c"]}},\n"develop": {"asyncpg": {}}}'
    assert list(of_pipfile_lock(lock)) == [
        Requirement(name="psycopg", version="==3.2", extras=("c",), line=2),
        Requirement(name="asyncpg", line=3, is_main=False),
    ]
    assert list(of_pipfile_lock("")) == []


@pytest.mark.parametrize("text", ["{", "[" * 100_000])
def test_what_is_no_json_says_so(text: str) -> None:
    with pytest.raises(ValueError, match="it is not JSON"):
        list(of_pipfile_lock(text))


@pytest.mark.parametrize(
    ("source", "is_local"),
    [
        ('editable = "."', False),
        ('editable = "libs/shop"', True),
        ('virtual = "libs/shop"', True),
        ('registry = "https://example.com"', False),
        ('type = "directory", url = "libs/shop"', True),
        ('type = "git"', False),
    ],
)
def test_what_is_built_from_a_folder_of_the_repository(source: str, is_local: bool) -> None:
    assert has_local(f'[[package]]\nname = "x"\nsource = {{ {source} }}\n') is is_local
