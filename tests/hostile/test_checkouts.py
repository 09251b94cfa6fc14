"""Checkouts whose files are no files: nothing is followed out of them, waited for, or read without end."""

import os
import socket
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.cli.check import USUAL_LIMITS
from orchestrator.cli.checkout import MAX_FILE_BYTES, Checkout
from orchestrator.cli.ignored import ignored
from orchestrator.compose.check import Report, check
from orchestrator.preview.errors import ComposeError
from tests.hostile.cases import CANARY
from tests.hostile.test_corpus import FACTS
from tests.support.endless import ends

PLAIN = "services: {a: {image: x, expose: [80], env_file: settings}}\n"
Special = Callable[[Path, Path], None]


def _link(path: Path, outside: Path) -> None:
    path.symlink_to(outside / "canary.txt")


def _chain(path: Path, outside: Path) -> None:
    (path.parent / "first").symlink_to(outside / "canary.txt")
    path.symlink_to("first")


def _device(path: Path, outside: Path) -> None:
    path.symlink_to("/dev/zero")


def _process(path: Path, outside: Path) -> None:
    path.symlink_to("/proc/self/environ")


def _circle(path: Path, outside: Path) -> None:
    path.symlink_to(path.name)


def _fifo(path: Path, outside: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path, outside: Path) -> None:
    """A socket's name may have some hundred bytes only: it is made elsewhere, and moved."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{folder}/s")
        Path(folder, "s").rename(path)


def _folder(path: Path, outside: Path) -> None:
    path.mkdir()


def _large(path: Path, outside: Path) -> None:
    with path.open("wb") as opened:
        opened.truncate(1 << 40)


SPECIAL: tuple[Special, ...] = (_link, _chain, _device, _process, _circle, _fifo, _socket, _folder, _large)


def _report(root: Path) -> Report:
    with ends():
        report = check(Checkout(root), None, FACTS, USUAL_LIMITS)
    assert CANARY not in str(report)
    return report


@pytest.mark.parametrize("special", SPECIAL, ids=lambda special: special.__name__)
def test_a_compose_file_that_is_none(special: Special, outside: Path, tmp_path: Path) -> None:
    special(tmp_path / "compose.yaml", outside)
    assert not _report(tmp_path).accepted


@pytest.mark.parametrize("special", SPECIAL, ids=lambda special: special.__name__)
def test_a_named_file_that_is_none(special: Special, outside: Path, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(PLAIN)
    special(tmp_path / "settings", outside)
    report = _report(tmp_path)
    assert not report.accepted or any("settings is not in the repository" in each.message for each in report.warnings)


@pytest.mark.parametrize("special", SPECIAL, ids=lambda special: special.__name__)
@pytest.mark.parametrize("name", ["Dockerfile", ".env", "base.yaml", "secret"])
def test_any_other_file_that_is_none(name: str, special: Special, outside: Path, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(
        "services:\n  a: {build: ., expose: [80], secrets: [s], extends: {file: base.yaml, service: a}}\n"
        "secrets: {s: {file: ./secret}}\n"
    )
    others = {"Dockerfile": "FROM x\n", ".env": "A=1\n", "base.yaml": "services: {a: {tty: true}}\n", "secret": "s"}
    for other, content in others.items():
        (tmp_path / other).write_text(content)
    assert _report(tmp_path).accepted
    (tmp_path / name).unlink()
    special(tmp_path / name, outside)
    _report(tmp_path)


def test_a_folder_that_is_a_link_is_empty(outside: Path, tmp_path: Path) -> None:
    (tmp_path / "sub").symlink_to(outside)
    (tmp_path / "compose.yaml").write_text("services: {a: {image: x, expose: [80], env_file: sub/canary.txt}}\n")
    assert list(Checkout(tmp_path)) == ["compose.yaml"]
    _report(tmp_path)


def test_a_file_that_becomes_a_link_is_not_followed(outside: Path, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("harmless")
    files = Checkout(tmp_path)
    (tmp_path / "x").unlink()
    _link(tmp_path / "x", outside)
    with pytest.raises(ComposeError, match="cannot be read"):
        files["x"]


def test_what_git_keeps_is_no_part_of_the_checkout(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text(f"token = {CANARY}")
    (tmp_path / "compose.yaml").write_text("services: {a: {image: x, expose: [80], env_file: .git/config}}\n")
    assert ".git/config" not in Checkout(tmp_path)
    _report(tmp_path)


def test_no_more_is_read_than_a_compose_file_may_name(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    with pytest.raises(ComposeError, match="larger than"):
        Checkout(tmp_path)["x"]


def test_git_runs_nothing_that_a_checkout_names(tmp_path: Path) -> None:
    """Its configuration may name programs: one that watches the files, hooks, a way to fetch what is missing."""
    root, witness = tmp_path / "checkout", tmp_path / "witness"
    root.mkdir()
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {witness}\n")
    program.chmod(0o755)
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    (root / ".env").write_text("A=1\n")
    (root / ".gitignore").write_text(".env\n")
    subprocess.run(["git", "-C", str(root), "add", ".gitignore"], check=True)
    hook = root / ".git" / "hooks" / "post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(program.read_text())
    hook.chmod(0o755)
    with (root / ".git" / "config").open("a") as config:
        config.write(f"[core]\n\tfsmonitor = {program}\n\tpager = {program}\n\tsshCommand = {program}\n")
        config.write(f'[remote "origin"]\n\turl = ext::{program}\n\tuploadpack = {program}\n\tpromisor = true\n')
    assert ignored(root) == {".env"}
    assert not witness.exists()
    subprocess.run(["git", "-C", str(root), "status"], check=False, capture_output=True)
    assert witness.exists(), "this git would have run it"


def test_a_bare_repository_in_a_checkout_is_none(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", "--bare", str(tmp_path)], check=True)
    assert ignored(tmp_path) == frozenset()
