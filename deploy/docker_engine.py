"""The Docker Engine of this machine: found, or installed and started, and stopped again if we started it.

Used by deploy/machine.py. An engine that was there before is never stopped.
"""

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from bootstrap import ROOT, apt_install, fail, run, say
from docker import DockerClient
from docker.errors import DockerException

SOCKET = Path("/var/run/docker.sock")
SYSTEMD = Path("/run/systemd/system")
ANSWER_SECONDS = 60
START_SECONDS = 60.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.1
TAIL_LINES = 12
SYSTEM_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"))
"""A root shell opened by `su` does not look where daemons are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnEngine:
    """An engine that we start by ourselves: where it listens and where it keeps its papers."""

    socket: Path = SOCKET
    state: Path = ROOT / ".cache" / "engine"
    options: tuple[str, ...] = field(default=())

    @property
    def pid_file(self) -> Path:
        """Written by dockerd, removed when it ends."""
        return self.state / "dockerd.pid"

    @property
    def log(self) -> Path:
        """What dockerd prints, since its last start."""
        return self.state / "dockerd.log"

    @property
    def started_by(self) -> Path:
        """Present while an engine that we started may run; holds what started it."""
        return self.state / "started-by"

    @property
    def mark(self) -> Path:
        """Present when it is to be stopped as soon as no run needs it."""
        return self.state / "stop-when-unused"


def ensure(own: OwnEngine) -> str:
    """The address of an engine that answers. Ends the program, with the command that helps, when there is none."""
    address = find()
    if address:
        say(f"Docker Engine: answers at {address}, used")
        return address
    _require_root()
    if not shutil.which("dockerd", path=SYSTEM_PATH):
        say("Docker Engine: installing Debian's docker.io and iptables, to run the previews in")
        apt_install("docker.io", "iptables")
    start(own)
    return f"unix://{own.socket}"


def find() -> str:
    """The address of the engine that is set, or that answers in one of the usual places; empty when there is none."""
    chosen = os.environ.get("DOCKER_HOST", "")
    if chosen:
        if not _answers(chosen):
            fail(f"no Docker Engine answers at DOCKER_HOST={chosen}: start it, or `unset DOCKER_HOST`")
        return chosen
    usual = (
        SOCKET,
        Path(os.environ.get("XDG_RUNTIME_DIR", "/nonexistent"), "docker.sock"),
        Path.home() / ".docker/run/docker.sock",
    )
    return next((f"unix://{path}" for path in usual if path.exists() and _answers(f"unix://{path}")), "")


def start(own: OwnEngine) -> None:
    """Start an engine, by systemd where it runs, and wait for it."""
    own.state.mkdir(parents=True, exist_ok=True)
    own.mark.touch()
    if own.socket == SOCKET and SYSTEMD.is_dir():
        say("Docker Engine: starting it with systemd, to run the previews in")
        own.started_by.write_text("systemd", "utf-8")
        run("systemctl", "start", "docker")
        _wait(own, None)
        return
    say(f"Docker Engine: starting dockerd, to run the previews in (log: {own.log})")
    own.started_by.write_text("dockerd", "utf-8")
    command = ("dockerd", "--host", f"unix://{own.socket}", "--pidfile", str(own.pid_file), *own.options)
    with own.log.open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            env=os.environ | {"PATH": SYSTEM_PATH},
        )  # fmt: skip
    _wait(own, process)


def restart(own: OwnEngine) -> None:
    """End the engine that we started, and start it again. Ends the program when it is somebody else's."""
    if not own.started_by.exists():
        fail("the Docker Engine is not ours to restart: it ran before we came")
    kept = not own.mark.exists()
    stop(own)
    start(own)
    if kept:
        keep(own)


def stop_when_unused(own: OwnEngine) -> None:
    """Stop the engine if a run started it for itself."""
    if own.mark.exists():
        stop(own)


def stop(own: OwnEngine) -> None:
    """Stop the engine that we started, whoever it was started for."""
    by_systemd = own.started_by.exists() and own.started_by.read_text("utf-8") == "systemd"
    if by_systemd:
        run("systemctl", "stop", "docker.socket", "docker")
    ended = by_systemd or _end_dockerd(own)
    own.mark.unlink(missing_ok=True)
    own.started_by.unlink(missing_ok=True)
    if not ended:
        say("Docker Engine: none that we started runs")
        return
    say("Docker Engine: stopped; its images and build cache stay in /var/lib/docker")


def keep(own: OwnEngine) -> None:
    """Leave the engine running until `make engine-stop`."""
    own.mark.unlink(missing_ok=True)


def _end_dockerd(own: OwnEngine) -> bool:
    pid = _running(own)
    if not pid:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while _running(own):
        if time.monotonic() > deadline:
            fail(f"dockerd does not end within {STOP_SECONDS:g} s: see {own.log}, then run `kill -9 {pid}`")
        time.sleep(POLL_SECONDS)
    return True


def _running(own: OwnEngine) -> int:
    """The process id of our dockerd, or 0. A stale file may name a process that has nothing to do with it."""
    try:
        pid = int(own.pid_file.read_text("utf-8"))
        command = Path("/proc", str(pid), "cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return 0
    return pid if str(own.pid_file).encode() in command else 0


def _wait(own: OwnEngine, process: subprocess.Popen[bytes] | None) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not (own.socket.exists() and _answers(f"unix://{own.socket}")):
        if process is not None and process.poll() is not None:
            fail(_explain(own.log, "it ended at once"))
        if time.monotonic() > deadline:
            fail(_explain(own.log, f"it does not answer within {START_SECONDS:g} s"))
        time.sleep(POLL_SECONDS)


def _explain(log: Path, what: str) -> str:
    lines = log.read_text("utf-8", "replace").splitlines() if log.exists() else []
    text = "\n".join(lines[-TAIL_LINES:])
    remedy = f"correct what it says above ({log}), or start an engine yourself"
    if "iptables" in text:
        remedy = "if this kernel has no nf_tables: run `update-alternatives --set iptables /usr/sbin/iptables-legacy`"
    elif "cgroup" in text:
        remedy = "mount the control groups: run `apt-get install cgroupfs-mount && cgroupfs-mount`"
    return f"{text}\nDocker Engine: {what}. {remedy}, then try again"


def _answers(address: str) -> bool:
    try:
        client = DockerClient(base_url=address, timeout=ANSWER_SECONDS)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except (DockerException, OSError):
        return False


def _require_root() -> None:
    if os.geteuid() == 0 and shutil.which("apt-get"):
        return
    if SOCKET.exists() and not os.access(SOCKET, os.R_OK | os.W_OK):
        fail(f"you may not use {SOCKET}: run `sudo usermod -aG docker $USER`, then log in again")
    if shutil.which("dockerd", path=SYSTEM_PATH):
        fail("the Docker Engine does not run: run `sudo systemctl start docker`, or start Docker Desktop")
    fail("there is no Docker Engine: run `sudo apt-get install docker.io`, or install Docker Desktop and start it")
