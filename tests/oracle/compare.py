"""One project, read by the real Compose binary and by us: do they say the same?"""

import json
import posixpath
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.compose.canonical import canonical
from orchestrator.compose.project.project import project
from orchestrator.preview.errors import ComposeError
from tests.unit.compose.oracle import binary

VARIABLES: Mapping[str, str] = {"HOME": "/home/user", "FOO": "first", "EMPTY": "", "DOLLAR": "v$x", "NUMBER": "3"}
DIRECTORY = "/home/project"
"""Where the binary's folder is said to be: the real one is a temporary folder of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one reader makes of a project: its values, or why it refuses."""

    value: dict[str, Any] | None
    refusal: str = ""


def theirs(files: Mapping[str, str], main: str = "compose.yaml") -> Reading:
    """The binary's reading, in a folder of its own and with no other variables than ours."""
    program = binary()
    assert program is not None
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made).resolve() / "project"
        for path, content in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode())
        result = subprocess.run(
            [program, "-p", "p", *_named(files, main), "config", "--format", "json"],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env={"PATH": "/bin", **VARIABLES},
            timeout=60,
        )
        if result.returncode != 0:
            return Reading(value=None, refusal=result.stderr.strip().splitlines()[-1])
        # Compose escapes dollars so that its output can be read again.
        written = result.stdout.replace("$$", "$").replace(str(folder.parent), posixpath.dirname(DIRECTORY))
    return Reading(value=json.loads(written))


def ours(files: Mapping[str, str], main: str = "compose.yaml") -> Reading:
    """Our reading of the same."""
    contents = {path: text.encode() for path, text in files.items()}
    try:
        found = project(contents, main, VARIABLES)
        return Reading(value=canonical(found, contents, DIRECTORY, "p"))
    except ComposeError as error:
        return Reading(value=None, refusal=error.message)


def disagreement(files: Mapping[str, str]) -> str:
    """Empty where both readers say the same of a project, else what each of them says."""
    mine, real = ours(files), theirs(files)
    if mine.value is None or real.value is None:
        if mine.value is real.value:
            return ""
        return f"we: {mine.refusal or 'accepted'}\nCompose: {real.refusal or 'accepted'}"
    return "\n".join(differences(normalised(mine.value), normalised(real.value)))


def differences(mine: object, real: object, path: str = "") -> Iterator[str]:
    """Each place where two readings differ."""
    if isinstance(mine, dict) and isinstance(real, dict):
        for key in sorted(mine.keys() | real.keys()):
            yield from differences(mine.get(key, _ABSENT), real.get(key, _ABSENT), f"{path}.{key}")
    elif mine != real:
        yield f"{path}: {mine!r} here, {real!r} in Compose"


def normalised(value: object, *, key: str = "") -> object:
    """The one normalisation: in a record, what is empty is as good as absent, and a whole float is its integer.

    Tables, whose keys the author chose, keep every entry; so do a command and an entry point, where empty means none.
    """
    if isinstance(value, dict):
        pairs = {name: normalised(child, key=name) for name, child in value.items()}
        keep = key in _TABLES
        return {name: child for name, child in pairs.items() if keep or name in _SAID or not _is_empty(child)}
    if isinstance(value, list):
        shown = [normalised(child) for child in value]
        return sorted(shown, key=repr) if key in _SETS else shown
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _is_empty(value: object) -> bool:
    return value is None or value is False or value in ("", 0) or value in ([], {})


def _named(files: Mapping[str, str], main: str) -> list[str]:
    """No `-f` where Compose finds the file by itself, and so merges its override file too."""
    return [] if main in ("compose.yaml", "docker-compose.yml") else ["-f", main]


_ABSENT = "nothing"
_TABLES = frozenset(
    {"services", "networks", "volumes", "secrets", "configs", "environment", "args", "labels", "annotations"}
    | {"options", "driver_opts", "depends_on", "ulimits", "sysctls", "additional_contexts", "storage_opt", "models"}
)
_SETS = frozenset({"extra_hosts"})
"""Lists that Compose prints in the order of a hash table."""
_SAID = frozenset({"command", "entrypoint"})
