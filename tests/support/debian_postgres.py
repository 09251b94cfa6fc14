"""The distribution's own Postgres, an older major than the wheel's: fetched and unpacked, never installed."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.adapters.embedded.programs import WHOLE_INSTALLATION, Program

MAJORS = (15, 16, 17)
CACHE = Path(__file__).resolve().parents[2] / ".cache"
INSTALLED = Path("/usr/lib/postgresql")
FETCH_SECONDS = 300


def debian_postgres() -> Program:
    """The oldest that there is, from 15 on; the test is skipped, with a reason, where there is none."""
    for major in MAJORS:
        program = INSTALLED / str(major) / "bin" / "postgres"
        if os.access(program, os.X_OK):
            return Program(path=program, root=INSTALLED / str(major), parts=WHOLE_INSTALLATION, version=(major,))
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        pytest.skip("there is no apt-get to fetch an older Postgres with")
    for major in MAJORS:
        home = CACHE / f"postgres-{major}"
        if home.exists() or _fetch(f"postgresql-{major}", home):
            program = home / "usr/lib/postgresql" / str(major) / "bin/postgres"
            return Program(path=program, root=home, parts=("usr",), version=(major,))
    pytest.skip(f"apt-get has no Postgres {', '.join(map(str, MAJORS))}: run `apt-get update`")


def libraries(program: Program) -> str:
    """Where a program that was unpacked finds what the machine does not have."""
    return os.pathsep.join(str(folder) for folder in program.root.glob("usr/lib/*-linux-gnu*"))


def _fetch(package: str, home: Path) -> bool:
    """Download the package with what it needs and the machine lacks. In place only when it is whole."""
    asked = _run("apt-get", "--simulate", "--no-install-recommends", "install", package)
    wanted = re.findall(r"^Inst (\S+)", asked.stdout, re.MULTILINE)
    if asked.returncode or package not in wanted:
        return False
    new = home.with_name(f".{home.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    (new / "packages").mkdir(parents=True)
    if _run("apt-get", "download", *wanted, folder=new / "packages").returncode:
        shutil.rmtree(new)
        return False
    for archive in (new / "packages").iterdir():
        _run("dpkg-deb", "--extract", str(archive), str(new)).check_returncode()
    shutil.rmtree(new / "packages")
    new.rename(home)
    return True


def _run(*command: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=FETCH_SECONDS,
        env=os.environ | {"LC_ALL": "C"},
    )  # fmt: skip
