"""`previewd check` on checkouts of a few lines: what it says, where, and with which exit code."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli import app
from orchestrator.cli.check import _quote, _value
from orchestrator.compose.check import Finding
from orchestrator.compose.database.urls import masked
from orchestrator.preview.errors import Place
from tests.support import apps
from tests.support.apps import recognisable

EXAMPLE = Path(__file__).parents[3] / "examples" / "fastapi-postgres"
HEAVY = ("sqlalchemy", "fastapi", "docker", "alembic", "arq", "webhooks", "worker", "asyncpg")
GOOD = """\
services:
  api:
    build: .
    ports: ["8000:8000"]
    labels: {a: b}
    env_file: .env
    environment:
      DATABASE_URL: postgresql+asyncpg://app:s3cret@db:5432/app
      SMTP_HOST:
      TITLE: ${TITLE}
  cache: {image: "redis:7", labels: {a: b}}
  db: {image: "postgres:16"}
"""
BAD = """\
x-base: &base {privileged: true}
services:
  api:
    <<: *base
    image: x
    network_mode: host
    volumes:
      - ./ok:/ok
      - /etc:/host-etc
      - "/var/run/docker.sock:/x"
    env_file: [{path: ../secrets.env}]
  worker: {image: y, pid: host}
volumes:
  data: {driver_opts: {device: /}}
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "compose.yaml").write_text(GOOD)
    (tmp_path / "Dockerfile").write_text("ARG V=3.12\nFROM python:${V}-slim AS base\nFROM base\n")
    (tmp_path / ".env.example").write_text("SENTRY_DSN=\n")
    return tmp_path


def report(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    app.run(["check", *arguments, "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_it_says_what_would_run(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["check", str(checkout)]) == 0
    said = capsys.readouterr().out
    for expected in (
        "✔ compose.yaml gets a preview",
        "leads to api, port 8000; ready when GET /health answers 2xx",
        "python:3.12-slim",
        "redis:7",
        "in place of `db`",
        "postgresql+asyncpg://app:•••@db:5432/app",
        "→ postgresql+asyncpg://pr_1:•••@previews-postgres:5432/pr_1",
        "api  SMTP_HOST",
        "the variable TITLE has no value",
        "compose.yaml:5, compose.yaml:11",
    ):
        assert expected in said, said
    assert "s3cret" not in said
    assert not re.search(r" $|\x1b", said, re.MULTILINE), "no blanks at the ends, no colours outside of a terminal"


def test_it_says_how_the_application_gets_its_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path, content in apps.one_url(with_server=False).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    found = report(capsys, str(tmp_path))["database"]
    assert found["forms"]["application"] == {
        "scheme": "postgresql",
        "why": "the code turns it into +asyncpg itself",
        "where": {"file": "app/database.py", "line": 7, "column": 0, "path": ""},
    }
    app.run(["check", str(tmp_path)])
    said = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert "DATABASE_URL as postgresql:// because the code turns it into +asyncpg itself (app/database.py:7)" in said
    assert "ALEMBIC_DATABASE_URL as postgresql:// because psycopg2 is the synchronous driver" in said
    (tmp_path / "compose.yaml").write_bytes(GOOD.replace("postgres:16", "pgvector/pgvector:pg17").encode())
    app.run(["check", str(tmp_path)])
    said = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert "in place of `db`, if the server has `vector` and version 17 or newer" in said


def test_the_report_for_scripts(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, str(checkout), "--set", "TITLE=x")
    assert found["accepted"] is True
    assert found["route"] == {
        "service": "api",
        "port": 8000,
        "health": "/health",
        "health_is_given": False,
        "port_reason": "",
    }
    assert found["unset"] == {"api": ["SMTP_HOST"]}
    assert found["database"]["replaces"] == "db"
    assert [each["variable"] for each in found["database"]["rewrites"]] == ["DATABASE_URL", "ALEMBIC_DATABASE_URL"]
    assert {each["service"]: each["base_images"] for each in found["containers"]} == {
        "api": ["python:3.12-slim"],
        "cache": [],
    }
    assert [each["message"] for each in found["warnings"]] == [
        ".env is not in the repository; nobody sets SENTRY_DSN (from .env.example)."
    ]
    assert found["changes"][0]["word"] == "strip"
    assert found["changes"][0]["place"] == {
        "file": "compose.yaml",
        "line": 5,
        "column": 13,
        "path": "services.api.labels",
    }


def test_every_reason_is_told_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "compose.yaml").write_text(BAD)
    found = report(capsys, str(tmp_path))
    assert found["accepted"] is False
    assert [(each["place"]["line"], each["place"]["path"]) for each in found["refusals"]] == [
        (1, "services.api.privileged"),
        (6, "services.api.network_mode"),
        (9, "services.api.volumes[1]"),
        (10, "services.api.volumes[2]"),
        (11, "services.api.env_file[0].path"),
        (12, "services.worker.pid"),
        (14, "volumes.data.driver_opts"),
    ]
    assert all(each["quoted"] and each["message"] and each["remedy"] for each in found["refusals"])


def test_what_does_not_fit_together_hides_no_value_and_no_other_misfit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "compose.yaml").write_text(
        "services:\n"
        "  a:\n"
        "    image: X\n"
        "    networks: [one, two]\n"
        "    stop_signal: none\n"
        "    depends_on: [idle, gone]\n"
        "  idle: {image: y, profiles: [p], volumes: ['data:/x', '/etc:/y']}\n"
        "  c: {provider: {type: x}}\n"
        "x-preview: {database: {service: idle}}\n"
    )
    assert [(each["place"]["line"], each["place"]["path"]) for each in report(capsys, str(tmp_path))["refusals"]] == [
        (3, "services.a.image"),
        (4, "services.a.networks[0]"),
        (4, "services.a.networks[1]"),
        (5, "services.a.stop_signal"),
        (6, "services.a.depends_on[1]"),
        (7, "services.idle.volumes[0]"),
        (7, "services.idle.volumes[1]"),
        (8, "services.c"),
        (8, "services.c.provider"),
    ]


def test_a_refused_key_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "compose.yaml").write_text("services: {a: {image: x, gpus: [{count: 1, device_ids: [x]}]}}\n")
    assert [each["place"]["path"] for each in report(capsys, str(tmp_path))["refusals"]] == ["services.a.gpus"]


@pytest.mark.parametrize("needed", ["image: 'x:${TAG:?}'", "image: x, cpus: '${CPUS:?}'"])
def test_a_missing_variable_hides_nothing_else(needed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "compose.yaml").write_text(
        f"services:\n  a: {{{needed}}}\n"
        "  b: {image: y, privileged: true}\n  c: {image: '${OTHER:?}', pid: host}\n"
    )
    found = report(capsys, str(tmp_path))["refusals"]
    assert [each["place"]["line"] for each in found] == [2, 3, 4, 4]
    assert [" is required" in each["message"] for each in found] == [True, False, True, False]


def test_of_very_many_reasons_the_first_ones_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def nearest(word: str, _: object) -> str:
        asked.append(word)
        return ""

    monkeypatch.setattr("orchestrator.compose.policy.judge.nearest", nearest)
    lines = "".join(f"    unknown{index}: 1\n" for index in range(9_000))
    (tmp_path / "compose.yaml").write_text(f"services:\n  a:\n    image: x\n    privileged: true\n{lines}")
    found = report(capsys, str(tmp_path))["refusals"]
    assert 10 < len(found) <= 60
    assert len(asked) < 200
    assert all(each["quoted"] for each in found)


def test_a_refusal_is_shown_where_it_stands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "compose.yaml").write_text(BAD)
    assert app.run(["check", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert said.startswith("✘ compose.yaml gets no preview, for 7 reasons\n")
    assert (
        "\ncompose.yaml:6:19  services.api.network_mode\n  6 │ network_mode: host\n    │               ▔▔▔▔\n" in said
    )
    assert "\n  → " in said


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("services: {a: {build: ., expose: [80]}}\n", "there is no Dockerfile"),
        ("services: {a: {image: x, prt: 1}}\n", "unknown key `prt`"),
        ("services: {a: {image: x}\n", "this is not YAML"),
        ("services: {a: {image: x}}\n", "no service serves"),
        ("services: {a: {image: '${IMAGE:?which}'}}\n", "IMAGE is required"),
    ],
)
def test_what_else_is_refused(text: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "compose.yaml").write_text(text)
    assert app.run(["check", str(tmp_path)]) == 1
    assert line in capsys.readouterr().out


def test_a_repository_without_a_compose_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["check", str(tmp_path)]) == 1
    assert "no Compose file" in capsys.readouterr().out


def test_a_file_may_be_named(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / "other.yaml").write_text(BAD)
    assert app.run(["check", str(checkout), "--file", "./other.yaml"]) == 1
    assert app.run(["check", str(checkout / "other.yaml")]) == 1
    assert "other.yaml" in capsys.readouterr().out
    (checkout / ".git").mkdir()
    (checkout / "deploy").mkdir()
    (checkout / "deploy" / "compose.yaml").write_text("services: {a: {build: .., expose: [80]}}\n")
    assert report(capsys, str(checkout / "deploy" / "compose.yaml"))["path"] == "deploy/compose.yaml"
    assert report(capsys, str(checkout), "--file", str(checkout / "compose.yaml"))["path"] == "compose.yaml"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nowhere"],
        [".", "--file", "nowhere.yaml"],
        [".", "--file", "../compose.yaml"],
        [".", "--file", "/etc/hosts"],
        [".", "--json", "--config"],
        [".", "--set", "NAME"],
        [".", "--set", "=value"],
        ["compose.yaml", "--file", "compose.yaml"],
    ],
)
def test_wrong_usage_is_2(arguments: list[str], checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    assert app.run(["check", *arguments]) == 2


def test_our_reading_before_any_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "compose.yaml").write_text("services: {a: {image: 'x:${TAG}', privileged: true, labels: [a=b]}}\n")
    assert app.run(["check", str(tmp_path), "--config", "--set", "TAG=1"]) == 0
    service = json.loads(capsys.readouterr().out)["services"]["a"]
    assert (service["image"], service["privileged"], service["labels"]) == ("x:1", True, {"a": "b"})
    (tmp_path / "compose.yaml").write_text("services: {a: {image: x, depends_on: [nobody]}}\n")
    assert app.run(["check", str(tmp_path), "--config"]) == 1
    assert "nobody" in capsys.readouterr().err


def test_the_example_gets_a_preview(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["check", str(EXAMPLE)]) == 0
    assert "docker-compose.preview.yml gets a preview" in capsys.readouterr().out


def test_nothing_of_a_file_steers_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = '"\\e[2J\\e]0;x\\a\\x9b31m/etc:/x"'
    (tmp_path / "compose.yaml").write_text(f"services: {{a: {{image: x, volumes: [{evil}], hostname: {evil}}}}}\n")
    for arguments in ([], ["--json"], ["--config"]):
        app.run(["check", str(tmp_path), *arguments])
        told = capsys.readouterr()
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", told.out + told.err)


def test_a_narrow_terminal(checkout: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    (checkout / "compose.yaml").write_text(BAD)
    app.run(["check", str(checkout)])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 40
    assert '  10 │ - "/var/run/docker.sock:/x"' in lines


@pytest.mark.parametrize(
    ("meant", "value"),
    [
        ("host", "host"),
        ("host  # why", "host"),
        ("'a, b', c]", "'a, b'"),
        ("/etc:/x, ./b:/c]}", "/etc:/x"),
        ("[a, b]}", "[a, b]}"),
        ('"open', '"open'),
    ],
)
def test_what_the_mark_is_below(meant: str, value: str) -> None:
    assert _value(meant) == value


def test_of_a_long_line_the_part_around_the_mark_is_shown() -> None:
    line = "  x: [" + "a, " * 200 + "/etc, " + "b, " * 200 + "]"
    column = line.index("/etc") + 1
    quoted = _quote(Finding(place=Place(file="f", line=3, column=column), message="", quoted=line), 60).plain
    above, below = quoted.split("\n")
    assert len(above) <= 60
    assert above[below.index("▔") :].startswith("/etc")


def test_passwords_are_hidden() -> None:
    assert masked("postgresql://u:p%40ss@h:1/d?x=y") == "postgresql://u:•••@h:1/d?x=y"
    assert masked("redis://h:1") == "redis://h:1"


def test_it_loads_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {a: {image: x, expose: [80]}}\n")
    program = (
        "import sys\nfrom orchestrator.cli.app import run\n"
        f"code = run(['check', {str(tmp_path)!r}])\nprint([name for name in {HEAVY!r} if name in sys.modules], code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] 0"


def test_what_is_lacking_is_recognised_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path, content in recognisable().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    found = report(capsys, str(tmp_path))
    assert found["accepted"] is True
    (generated,) = found["generated"]
    assert generated["summary"] == (
        "FastAPI app `shop.main:app` (src/shop/main.py:7), dependencies requirements.txt, Python 3.11, "
        "Postgres by asyncpg"
    )
    assert found["database"]["replaces"] is None
    assert found["containers"][0]["base_images"] == ["python:3.11-slim"]
    assert app.run(["check", str(tmp_path)]) == 0
    assert "no Compose file: recognised FastAPI app `shop.main:app`" in " ".join(capsys.readouterr().out.split())

    assert app.run(["check", str(tmp_path), "--generated"]) == 0
    printed = capsys.readouterr().out
    assert printed == f"# compose.yaml\n{generated['text']}"
    (tmp_path / "compose.yaml").write_text(printed)
    assert report(capsys, str(tmp_path))["generated"] == [], "what was committed is taken as it is"


def test_a_dockerfile_that_is_lacking_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "compose.yaml").write_text("services: {a: {build: ., expose: [80]}}\n")
    (tmp_path / "requirements.txt").write_text("flask\n")
    (tmp_path / "app.py").write_text("import flask\napp = flask.Flask(__name__)\n")
    (generated,) = report(capsys, str(tmp_path))["generated"]
    assert generated["path"] == "Dockerfile"
    assert app.run(["check", str(tmp_path), "--generated"]) == 0
    assert capsys.readouterr().out.startswith("# Dockerfile\nFROM python:3.13-slim AS build\n")


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)


def test_what_git_ignores_is_absent_and_told(
    checkout: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(checkout.parent / "nobody"))
    (checkout / ".env").write_text("TITLE=local\nSMTP_HOST=mail\nOTHER=1\n")
    assert not [each for each in report(capsys, str(checkout))["warnings"] if "ignored" in each["message"]]
    _git(checkout, "init", "--quiet")
    (checkout / ".gitignore").write_text(".env\nlocal/\n")
    said = [each["message"] for each in report(capsys, str(checkout))["warnings"]]
    assert said[0] == "`.env` is ignored by git: a preview will not have it, and TITLE, SMTP_HOST have no value."
    assert "the variable TITLE has no value; it is read as empty." in said
    _git(checkout, "add", "--force", ".env")
    assert not [each for each in report(capsys, str(checkout))["warnings"] if "ignored" in each["message"]]


def test_a_compose_file_or_a_folder_that_git_ignores(
    checkout: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(checkout.parent / "nobody"))
    _git(checkout, "init", "--quiet")
    (checkout / ".gitignore").write_text("compose.preview.yaml\n/app/\n")
    (checkout / "compose.preview.yaml").write_text("services: {}\n")
    (checkout / "app").mkdir()
    (checkout / "app" / "Dockerfile").write_text("FROM scratch\n")
    (checkout / "compose.yaml").write_text("services: {a: {build: app, expose: [80]}}\n")
    found = report(capsys, str(checkout))
    assert found["path"] == "compose.yaml"
    assert "there is no app/Dockerfile" in found["refusals"][0]["message"]
    assert [each["message"] for each in found["warnings"]] == [
        "`app/Dockerfile` is ignored by git: a preview will not have it.",
        "`compose.preview.yaml` is ignored by git: a preview will not have it.",
    ]
    assert app.run(["check", str(checkout / "compose.preview.yaml")]) == 2
    assert app.run(["check", str(checkout / "compose.preview.yaml"), "--config"]) == 0, "Compose knows no git"


def test_a_limit_above_the_usual_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "compose.yaml").write_text("services:\n  a: {image: x, expose: [80], mem_limit: 64g}\n")
    assert app.run(["check", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "`mem_limit` is taken as 1g, not 64g" in said
    assert "compose.yaml:2" in said


def test_a_key_without_effect_is_told_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "compose.yaml").write_text(
        "services: {a: {image: x, expose: [80]}}\nx-preview:\n  ttl: 72h\n  sleep: 30m\n"
    )
    told = report(capsys, str(tmp_path))["changes"]
    assert [(each["place"]["line"], each["place"]["path"], each["quoted"]) for each in told] == [
        (3, "x-preview.ttl", "  ttl: 72h"),
        (4, "x-preview.sleep", "  sleep: 30m"),
    ]
    assert all("has no effect yet" in each["message"] for each in told)
    assert app.run(["check", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "Not as the file says\n  `ttl` is understood, but has no effect yet" in said
    assert "compose.yaml:3" in said
