import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli import app
from orchestrator.preview.errors import ConfigurationError
from orchestrator.runtime.installation import load_settings

HEAVY = ("sqlalchemy", "fastapi", "docker", "alembic", "arq", "webhooks", "worker", "asyncpg")


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which nothing is set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PREVIEWD_DATABASE_URL", raising=False)
    monkeypatch.setenv("PREVIEWD_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    return tmp_path


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys\nfrom orchestrator.cli.app import run\ncode = run(['--help'])\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] 0"
    assert "previewd" in done.stdout or "Commands" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["ls", "--nonsense"],
        ["show"],
        ["logs", "1", "--deployment", "x"],
    ],
)
def test_wrong_usage_is_2(arguments: list[str]) -> None:
    assert app.run(arguments) == 2


def test_an_error_is_one_line_and_what_to_do(alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["ls"]) == 1
    error, remedy = capsys.readouterr().err.splitlines()
    assert error.startswith("error: no database is known")
    assert remedy.startswith("→ set it, or start `previewd up`")


def test_an_unreachable_database_is_an_error_too(
    alone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREVIEWD_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    assert app.run(["ls"]) == 1
    assert "does not answer" in capsys.readouterr().err


def test_what_is_not_set_is_read_from_what_up_wrote(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (alone / "data" / "up.env").write_text(
        "PREVIEWD_DATABASE_URL=postgresql://previewd:a$b@127.0.0.1:5/previewd\n"
        "PREVIEWD_REDIS_URL=redis://from-up\nPREVIEWD_INSTANCE=fromup\nUNKNOWN=1\n"
    )
    (alone / ".env").write_text("PREVIEWD_INSTANCE=dotenv\n")
    monkeypatch.setenv("PREVIEWD_REDIS_URL", "redis://from-environment")
    found = load_settings()
    assert found.database_url.get_secret_value() == "postgresql://previewd:a$b@127.0.0.1:5/previewd"
    assert found.redis_url.get_secret_value() == "redis://from-environment"
    assert found.instance == "dotenv"


def test_a_broken_file_of_ups_is_named(alone: Path) -> None:
    (alone / "data" / "up.env").write_text("PREVIEWD_MAX_JOBS=many\n")
    with pytest.raises(ConfigurationError, match="PREVIEWD_MAX_JOBS"):
        load_settings()
