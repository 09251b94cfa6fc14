"""Modules parsed within bounds, and their names looked through imports."""

import ast
from collections import UserDict

import pytest

from orchestrator.codebase.python.syntax import (
    MAX_MODULE_BYTES,
    MAX_PARSED_BYTES,
    Module,
    full_name,
    imported_modules,
    parse,
    read_modules,
)
from orchestrator.preview.errors import ComposeError, Place


def module(code: str) -> Module:
    (found,), unread = read_modules({"m.py": code.encode()}, ["m.py"], lambda _path, _content: True)
    assert unread == []
    return found


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("from fastapi import FastAPI\nFastAPI", "fastapi.FastAPI"),
        ("import fastapi\nfastapi.FastAPI", "fastapi.FastAPI"),
        ("import fastapi as f\nf.FastAPI", "fastapi.FastAPI"),
        ("import sqlalchemy.ext.asyncio\nsqlalchemy.ext.asyncio.create_engine", "sqlalchemy.ext.asyncio.create_engine"),
        ("import sqlalchemy.ext.asyncio as sa\nsa.create_engine", "sqlalchemy.ext.asyncio.create_engine"),
        ("if 1:\n  from a import b as c\nc.d", "a.b.d"),
        ("from .db import engine\nengine", "db.engine"),
        ("from . import db\ndb.engine", "db.engine"),
        ("unknown.x", "unknown.x"),
        ("f().x", ""),
        ("1", ""),
    ],
)
def test_the_full_name_of_an_expression(code: str, name: str) -> None:
    found = module(code)
    last = found.tree.body[-1]
    assert isinstance(last, ast.Expr)
    assert full_name(last.value, found.names) == name


def test_imports_by_their_full_names() -> None:
    found = module("import a.b\nfrom c import d\nfrom .e import f\ndef g():\n  import h as i\n")
    assert set(imported_modules(found.tree)) == {"a.b", "c", "c.d", "h"}


def test_what_is_parsed_has_an_end() -> None:
    large = b"x = 1\n" * (MAX_MODULE_BYTES // 6)
    files = {f"m{number}.py": large for number in range(8)} | {"huge.py": large * 2, "small.py": b"x"}
    found, unread = read_modules(files, files, lambda _path, _content: True)
    assert sum(len(files[each.path]) for each in found) <= MAX_PARSED_BYTES
    assert {"m0.py", "small.py"} <= {each.path for each in found}
    assert {"huge.py", "m7.py"} <= set(unread)
    assert len(found) + len(unread) == len(files)


def test_what_does_not_parse_is_work_too() -> None:
    broken = b"(" + b"#" * (MAX_MODULE_BYTES - 1)
    files = {f"m{number}.py": broken for number in range(4)} | {"small.py": b"x"}
    assert read_modules(files, files, lambda _path, _content: True) == ([], list(files))


class TooLarge(UserDict[str, bytes]):
    def __getitem__(self, path: str) -> bytes:
        raise ComposeError(Place(file=path), "it is larger than 1 byte")


def test_what_is_not_handed_out_says_nothing() -> None:
    found, _ = read_modules(TooLarge({"m.py": b"x"}), ["m.py"], lambda _path, content: b"x" in content)
    assert found == []


def test_only_what_may_tell_is_parsed() -> None:
    files = {"a.py": b"import asyncpg", "b.py": b"(", "c.txt": b"asyncpg"}
    found, unread = read_modules(files, files, lambda path, content: path.endswith(".py") and b"asyncpg" in content)
    assert ([each.path for each in found], unread) == (["a.py"], [])


def test_the_style_of_the_repository_is_its_own() -> None:
    parse(b"x = '\\d'\nassert (1, 'x')\n")


@pytest.mark.parametrize("content", [b"(" * 20_000, b"-" * 100_000 + b"1", b"x" + b".a" * 100_000, b"x\0", b"\xff"])
def test_what_attacks_the_parser_is_said_to_be_no_python(content: bytes) -> None:
    with pytest.raises((SyntaxError, ValueError)):
        parse(content)
