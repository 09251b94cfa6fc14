"""The machine's set-up, as far as it is decided without touching the machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
sys.path.insert(0, str(DEPLOY))

import base_image  # noqa: E402
import bootstrap  # noqa: E402
import docker_engine  # noqa: E402

LINES = """
# deb http://commented.test/debian bookworm main
deb-src http://source.test/debian bookworm main
deb [signed-by=/usr/share/keyrings/x.gpg arch=amd64] http://mirror.test/debian bookworm main contrib
"""
PARAGRAPHS = """Types: deb
# the archive of a day
URIs: http://other.test/node
Suites: nodistro

Types: deb
URIs: http://mirror.test/debian http://second.test/debian
Suites: bookworm bookworm-updates
Components: main
"""


@pytest.mark.parametrize("text", [LINES, PARAGRAPHS])
def test_the_machines_own_mirror_is_found(text: str) -> None:
    assert base_image._first_mirror(text) == "http://mirror.test/debian"


def test_other_lists_have_no_mirror_for_us() -> None:
    assert base_image._first_mirror("deb http://mirror.test/ubuntu noble main\n") == ""
    assert base_image._first_mirror("") == ""


@pytest.fixture
def pip_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://index.test/simple\nextra-index-url =\n  file:///opt/x\n  https://more.test/simple\n"
    )
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_", "SSL_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_TRUSTED_HOST", "index.test")


@pytest.mark.usefixtures("pip_told")
def test_uv_is_told_what_pip_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = bootstrap.uv_settings()
    assert settings["UV_DEFAULT_INDEX"] == "https://index.test/simple"
    assert settings["UV_INDEX"] == "file:///opt/x https://more.test/simple"
    assert settings["UV_INSECURE_HOST"] == "index.test"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://own.test/simple")
    assert "UV_DEFAULT_INDEX" not in bootstrap.uv_settings()


@pytest.mark.usefixtures("pip_told")
def test_the_image_gets_what_reaches_the_network_only() -> None:
    assert base_image._pip_network_settings() == {
        "index-url": ["https://index.test/simple"],
        "extra-index-url": ["https://more.test/simple"],
        "trusted-host": ["index.test"],
    }


def test_a_process_that_is_not_our_engine_is_never_taken_for_it(tmp_path: Path) -> None:
    own = docker_engine.OwnEngine(state=tmp_path)
    assert docker_engine._running(own) == 0
    own.pid_file.write_text(str(os.getpid()))
    assert docker_engine._running(own) == 0


def test_an_engine_that_was_there_before_is_never_restarted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        docker_engine.restart(docker_engine.OwnEngine(state=tmp_path))
    assert "not ours to restart" in capsys.readouterr().err


def test_an_engine_that_does_not_start_is_explained(tmp_path: Path) -> None:
    log = tmp_path / "dockerd.log"
    log.write_text("\n".join(f"line {number}" for number in range(50)) + "\niptables: no nf_tables\n")
    text = docker_engine._explain(log, "it ended at once")
    assert "line 38" not in text
    assert "line 49" in text
    assert "update-alternatives --set iptables" in text


def test_wrong_usage_is_told() -> None:
    command = (sys.executable, str(DEPLOY / "machine.py"), "nonsense")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("usage:")
