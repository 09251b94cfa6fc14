"""DATA_DIR: the one directory that a machine's previewd keeps, and who may use it.

It holds the embedded servers' files, their logs, and the passwords that were made for them; and of each preview the
files that its containers mount, its backups, and the git objects of its repository.
"""

import contextlib
import fcntl
import glob
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.preview.errors import ConfigurationError, OperatorError
from orchestrator.runtime import fence

PASSWORD_BYTES = 32

_GONE = re.compile(r"\.(\d+)(?:-\d+|\.git)\.gone-[0-9a-f]+")
"""A folder of a preview, or of a repository, that `remove_folder` has put aside."""


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


def remains(data_dir: Path) -> list[tuple[str, int]]:
    """All that calls of `remove_folder` left: they were killed, or another account owns what lies in it.

    Paths below `data_dir`, each with the repository that it is of.
    """
    found = ((path, _GONE.fullmatch(path.name)) for path in data_dir.glob("*/.*.gone-*"))
    return [(str(path.relative_to(data_dir)), int(match[1])) for path, match in found if match]


def discard_remains(data_dir: Path, path: str) -> None:
    """Try once more. Raises OperatorError when something of it cannot be removed."""
    left = data_dir / path
    shutil.rmtree(left, ignore_errors=True)
    if left.exists():
        raise OperatorError(f"{left} cannot be removed", "some of it belongs to another account: remove it as root")


def remove_folder(folder: Path) -> None:
    """Remove a folder of a preview, if it is there, with all that earlier calls left when they were killed.

    It blocks for as long as that takes. One rename takes the folder away, and what follows touches nothing that anybody
    may have put in its place: who loses the lease meanwhile does no harm. Raises LeaseLost before the rename only.
    """
    aside = f".{folder.name}.gone-"
    fence.require()
    with contextlib.suppress(FileNotFoundError):
        folder.rename(folder.with_name(aside + secrets.token_hex(4)))
    for left in folder.parent.glob(glob.escape(aside) + "*"):
        shutil.rmtree(left, ignore_errors=True)
