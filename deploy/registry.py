"""Debian's docker-registry for the tests that pull from a real one: fetched into .cache, never installed.

Used by deploy/machine.py. A machine that cannot have it goes without: those tests are skipped, and say so.
"""

import shutil
import subprocess
from pathlib import Path

from bootstrap import ROOT, say

PACKAGE = "docker-registry"
CACHE = ROOT / ".cache" / "registry"
PROGRAM = CACHE / "usr" / "bin" / "docker-registry"
TOOLS = ("apt-get", "dpkg-deb")


def ensure() -> bool:
    """See to it that the program lies in the cache; whether it does."""
    if PROGRAM.exists():
        say(f"{PACKAGE}: fetched before, used")
        return True
    if not all(map(shutil.which, TOOLS)):
        say(f"{PACKAGE}: not fetched, there is no apt-get here; the tests with a real registry are skipped")
        return False
    say(f"{PACKAGE}: fetching Debian's package into .cache/registry, for the tests; it is not installed")
    try:
        _fetch()
    except subprocess.CalledProcessError as error:
        shutil.rmtree(CACHE, ignore_errors=True)
        say(f"{PACKAGE}: not fetched ({error}); the tests with a real registry are skipped")
    return PROGRAM.exists()


def _fetch() -> None:
    """Lists of packages may be missing or old: only root can fetch them anew."""
    CACHE.mkdir(parents=True, exist_ok=True)
    if _run("apt-get", "download", PACKAGE, cwd=CACHE).returncode:
        _run("apt-get", "update", "-qq", cwd=CACHE)
        _run("apt-get", "download", PACKAGE, cwd=CACHE).check_returncode()
    for archive in CACHE.glob("*.deb"):
        _run("dpkg-deb", "-x", str(archive), str(CACHE), cwd=CACHE).check_returncode()
        archive.unlink()


def _run(*command: str, cwd: Path) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, check=False)
