"""The machine's share of set-up, inside the virtual environment: git, the Docker Engine, the base image.

Called by deploy/bootstrap.py. `run -- COMMAND…` sets up, runs the command, and takes away again what was set up for
it, also when the command fails or is interrupted. Runs may overlap: the last one to end cleans up.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

import base_image
import docker_engine
import registry
from bootstrap import ROOT, apt_install, fail, one_at_a_time, say
from docker_engine import OwnEngine

USAGE = "usage: bootstrap.py environment | engine | engine-restart | engine-stop | registry | run -- COMMAND…"
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SIGNALLED = 128
WRONG_USAGE = 2


class Interrupted(Exception):
    """A signal came while no command ran that could take it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Signals:
    """Who gets a signal: the command once it runs, we before, and nobody while things are taken away.

    The command has a process group of its own, so what the terminal sends reaches it through us only: once.
    """

    def __init__(self) -> None:
        self.command: subprocess.Popen[bytes] | None = None
        self.ignored = False
        for number in ENDING:
            signal.signal(number, self._take)

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if self.command is not None:
            self.command.send_signal(number)
        elif not self.ignored:
            raise Interrupted(number)


def main(arguments: list[str]) -> int:
    """Do what is asked; the exit code is the command's."""
    match arguments:
        case ["run", "--", *command] if command:
            return run_command(command)
        case ["engine"]:
            with one_at_a_time():
                base_image.ensure(set_up_engine())
                docker_engine.keep(OwnEngine())
            say("it stays until `make engine-stop`")
            return 0
        case ["registry"]:
            with one_at_a_time():
                registry.ensure()
            return 0
        case ["engine-restart"]:
            docker_engine.restart(OwnEngine())
            return 0
        case ["engine-stop"]:
            docker_engine.stop(OwnEngine())
            return 0
        case _:
            print(USAGE, file=sys.stderr)
            return WRONG_USAGE


def run_command(command: list[str]) -> int:
    """Set up, run, take away."""
    signals = Signals()
    with use_of_machine() as lock:
        address, made_image = "", False
        try:
            with one_at_a_time():
                was_there = bool(docker_engine.find())
                address = set_up_engine()
                made_image = base_image.ensure(address)
            return _run(command, address, signals, may_restart=not was_there)
        except Interrupted as stopped:
            return SIGNALLED + stopped.number
        finally:
            signals.ignored = True
            if _is_last(lock):
                take_away(address if made_image else "")


def set_up_engine() -> str:
    """Git and the Docker Engine; its address."""
    if not shutil.which("git"):
        if os.geteuid() or not shutil.which("apt-get"):
            fail("there is no git: run `sudo apt-get install git`")
        say("git: installing it, to fetch commits with")
        apt_install("git")
    return docker_engine.ensure(OwnEngine())


def take_away(image_at: str) -> None:
    """What this run set up for itself: the base image on the engine at `image_at`, and that engine."""
    if image_at:
        base_image.remove(image_at)
    docker_engine.stop_when_unused(OwnEngine())


def _run(command: list[str], address: str, signals: Signals, *, may_restart: bool) -> int:
    """`may_restart` is said to the command as ENGINE_RESTART, unless somebody has said so or the contrary."""
    chosen = {"ENGINE_RESTART": str(int(may_restart))} | os.environ
    environment = chosen | {"DOCKER_HOST": address, "PREVIEWD_DOCKER_HOST": address}
    signals.command = subprocess.Popen(command, cwd=ROOT, env=environment, process_group=0)
    try:
        code = signals.command.wait()
    finally:
        signals.command = None
    return SIGNALLED - code if code < 0 else code


@contextmanager
def use_of_machine() -> Iterator[IO[str]]:
    """Let other runs know that this one is under way."""
    path = Path(ROOT, ".cache", "machine.lock")
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield lock


def _is_last(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another run is under way: what was set up is left to it")
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
