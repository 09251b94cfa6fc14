"""Set this machine up for previewd: `make` calls it with whatever Python 3 the machine has.

It makes the virtual environment from the lock, with nothing but the standard library, and hands over to
deploy/machine.py inside of it, which sees to the Docker Engine and the base image. A second call finds the
environment as it should be and takes no time.
"""

import configparser
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements-dev.lock"
STAMP = VENV / "previewd.stamp"
PEER_LOCK = ROOT / "requirements-peer.lock"
PEER = ROOT / ".cache" / "peer"
"""The Compose binary that `make bench` compares with, and that starts docker-compose.yml in a test."""
UV_HOME = ROOT / ".cache" / "uv"
OLDEST_PYTHON = (3, 11)
FROM_PIP = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
}
"""uv does not read pip's settings, and a machine with an index or a certificate of its own has them there."""


def main(arguments: list[str]) -> None:
    """Set up, then become deploy/machine.py with the same arguments, unless only the environment is asked for."""
    if sys.version_info < OLDEST_PYTHON:
        fail(f"Python {sys.version.split()[0]} is too old: run make PYTHON=…, with Python 3.11 or newer")
    with one_at_a_time():
        if STAMP.exists() and STAMP.read_text("utf-8") == wanted():
            say("environment: as locked, used")
        else:
            make_environment()
    if arguments == ["environment"]:
        return
    os.execv(PYTHON, (str(PYTHON), str(ROOT / "deploy" / "machine.py"), *arguments))  # noqa: S606 - no shell


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Set-up is not for two runs at once: the second waits, and finds it done."""
    path = ROOT / ".cache" / "set-up.lock"
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up is under way: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make_environment() -> None:
    """Create .venv if need be, and install exactly what the lock says, then previewd itself."""
    if not PYTHON.exists():
        say(f"environment: making .venv with Python {sys.version.split()[0]}, for previewd's libraries")
        create_venv()
    uv = find_uv()
    say("environment: installing the libraries of requirements-dev.lock, each checked against its hash")
    here = ("--quiet", "--python", str(PYTHON))
    environment = os.environ | uv_settings()
    run(uv, "pip", "sync", *here, "--require-hashes", str(LOCK), env=environment)
    run(uv, "pip", "install", *here, "--no-deps", "--editable", str(ROOT), env=environment)
    shutil.rmtree(PEER, ignore_errors=True)
    run(uv, "pip", "install", *here, "--require-hashes", "--target", str(PEER), "-r", str(PEER_LOCK), env=environment)
    STAMP.write_text(wanted(), "utf-8")


def wanted() -> str:
    """What the environment depends on, in one line."""
    files = (LOCK, PEER_LOCK, ROOT / "pyproject.toml")
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files))
    return f"{digest.hexdigest()} {ROOT}"


def create_venv() -> None:
    """Debian keeps a part of the venv module in a package of its own."""
    if subprocess.run((sys.executable, "-c", "import ensurepip"), capture_output=True, check=False).returncode:
        package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        if os.geteuid() or not shutil.which("apt-get"):
            fail(f"Python's venv module is not whole: run `sudo apt-get install {package}`")
        say(f"{package}: installing it, to make the virtual environment")
        apt_install(package)
    run(sys.executable, "-m", "venv", str(VENV))


def find_uv() -> str:
    """The machine's uv, else one beside the environment: inside of it, uv would remove itself as not locked."""
    installed = shutil.which("uv")
    if installed and not subprocess.run((installed, "--version"), capture_output=True, check=False).returncode:
        return installed
    own = UV_HOME / "bin" / "uv"
    if not own.exists():
        say("uv: installing it into .cache/uv, to install the libraries with")
        python = str(PYTHON) if has_pip(PYTHON) else sys.executable
        run(python, "-m", "pip", "install", "--quiet", "--target", str(UV_HOME), "uv>=0.5")
    return str(own)


def has_pip(python: Path) -> bool:
    """Environments that uv made have none."""
    return not subprocess.run((python, "-c", "import pip"), capture_output=True, check=False).returncode


def uv_settings() -> dict[str, str]:
    """What pip is told, in uv's variables, except where a variable of uv's is set already.

    Like pip, uv is to look in every index for a version: the hashes say whether it is the right one.
    """
    settings = {"UV_INDEX_STRATEGY": "unsafe-best-match"}
    for option, values in pip_settings().items():
        variable = FROM_PIP.get(option)
        if variable and variable not in os.environ:
            settings[variable] = ("," if variable == "UV_FIND_LINKS" else " ").join(values)
    return settings


def pip_settings() -> dict[str, list[str]]:
    """What pip is told on this machine, read without it: Debian has none until it is installed. Later ones win."""
    home, settings = Path.home(), {}
    files = ("/etc/xdg/pip/pip.conf", "/etc/pip.conf", home / ".pip/pip.conf", home / ".config/pip/pip.conf")
    parser = configparser.RawConfigParser(strict=False)
    parser.read((*files, os.environ.get("PIP_CONFIG_FILE", os.devnull)), "utf-8")
    if parser.has_section("global"):
        settings = {option: value.split() for option, value in parser.items("global")}
    for variable, value in os.environ.items():
        if variable.startswith("PIP_"):
            settings[variable.removeprefix("PIP_").lower().replace("_", "-")] = value.split()
    return settings


def apt_install(*packages: str) -> None:
    """Install Debian packages without questions and without what they only recommend."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get", "update", "-qq", env=environment)
    run("apt-get", "install", "-qq", "-y", "--no-install-recommends", *packages, env=environment)


def run(*command: str, env: dict[str, str] | None = None) -> None:
    """Run a program and show what it says only if it fails; then end with the command that can be tried by hand."""
    done = subprocess.run(
        command, env=env, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        fail(f"{done.stdout.rstrip()}\nthis failed, see above: {' '.join(command)}")


def say(line: str) -> None:
    """One line about what is being done."""
    print(f"setup: {line}", flush=True)


def fail(line: str) -> NoReturn:
    """Say what is missing, and end."""
    print(f"setup: {line}", file=sys.stderr, flush=True)
    raise SystemExit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
