"""DATA_DIR: the one directory that a machine's previewd keeps, and who may use it.

Read by `previewd up`. It holds the embedded servers' files, their logs, and the passwords that were made for them.
"""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.errors import ConfigurationError

PASSWORD_BYTES = 32


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold DATA_DIR for this process, and create it if need be. ConfigurationError when another one holds it."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "up.lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise ConfigurationError(
                f"previewd already runs in {data_dir} (process {holder})",
                "stop it, or set PREVIEWD_DATA_DIR to another directory",
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def passwords(file: Path, names: tuple[str, ...]) -> dict[str, str]:
    """One random password for each name, made at its first use and kept in `file`, which only we may read."""
    known: dict[str, str] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    missing = [name for name in names if name not in known]
    if missing:
        known |= {name: secrets.token_urlsafe(PASSWORD_BYTES) for name in missing}
        write_private(file, json.dumps(known, indent=2) + "\n")
    return {name: known[name] for name in names}


def write_private(file: Path, text: str) -> None:
    """Replace `file` in one step by one that only our account may read."""
    new = file.with_name(f".{file.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(file)
