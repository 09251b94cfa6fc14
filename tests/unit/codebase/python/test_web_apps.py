"""What modules say of web applications, however they are written."""

import pytest

from orchestrator.codebase.python.web_apps import applications

FASTAPI = b"from fastapi import FastAPI\napp = FastAPI()\n"


@pytest.mark.parametrize(
    "content",
    ["(" * 100_000, "-" * 100_000 + "1", "x" + ".a" * 100_000, "\0", "f(" * 90 + ")" * 90, "if 1:\n" + " if 1:\n" * 2],
)
def test_hostile_modules_are_left_out(content: str) -> None:
    found, unread = applications({"main.py": content.encode(), "app.py": FASTAPI})
    assert [(each.path, each.name) for each in found] == [("app.py", "app")]
    assert set(unread) <= {"main.py"}


def test_many_large_modules_are_not_all_read() -> None:
    large = FASTAPI + b"x = 1\n" * 20_000
    found, unread = applications({f"m{number}/x.py": large for number in range(40)} | {"main.py": FASTAPI})
    assert found[0].path == "main.py"
    assert len(unread) > 30


FACTORY = "from flask import Flask\ndef create_app({}):\n    return Flask(__name__)\n"


@pytest.mark.parametrize(
    ("code", "apps"),
    [
        ("import fastapi as f\napi: f.FastAPI = f.FastAPI()\n", ["api"]),
        ("from fastapi import FastAPI as Web\nWeb().state\na = b = Web()\n(c) = Web()\nc = Web()\n", ["c"]),
        ("class FastAPI: pass\napp = FastAPI()\n", []),
        (FACTORY.format("x=1"), ["create_app()"]),
        (FACTORY.format("x"), []),
        (FACTORY.format("*, x"), []),
        (f"{FACTORY.format('x')}app = create_app(1)\n", ["app"]),
        ("def make() -> 'Flask': ...\nfrom flask import Flask\ndef build() -> Flask: ...\n", ["build()"]),
    ],
)
def test_what_makes_an_application(code: str, apps: list[str]) -> None:
    found, _ = applications({"main.py": code.encode()})
    assert [f"{each.name}()" if each.is_factory else each.name for each in found] == apps
