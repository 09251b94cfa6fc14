"""Taking dumps: of which database, as whom, into which file. Used by the worker and by `previewd db`."""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import IO

from orchestrator.ports.databases import Databases
from orchestrator.preview.errors import OperatorError, PreviewdError
from orchestrator.preview.names import Names
from orchestrator.preview.state import PreviewId
from orchestrator.runtime.concurrency import in_thread
from orchestrator.runtime.data_dir import remove_folder
from orchestrator.runtime.settings import Settings
from orchestrator.store.backups import USUAL_KEEP, Backup, Backups
from orchestrator.store.claims import Claim
from orchestrator.store.encryption import DATABASE_PASSWORD, Encryption
from orchestrator.store.queries import Queries

_ABANDONED_SECONDS = 3600.0
"""A file that no row names is a killed run's, when nothing was written to it for so long."""


def folder(settings: Settings, preview: PreviewId) -> Path:
    """Where a preview's backups lie."""
    return settings.data_dir.resolve() / "backups" / str(preview)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A preview's database, and how its own role gets in."""

    preview: PreviewId
    name: str
    password: str = field(repr=False)


async def source(queries: Queries, encryption: Encryption, instance: str, preview: PreviewId) -> Source:
    """Raises OperatorError when the preview has no database of ours."""
    sealed = await queries.database_secrets(preview)
    password = encryption.open(sealed).get(DATABASE_PASSWORD) if sealed else None
    if password is None:
        raise OperatorError(
            f"preview {preview} has no database of previewd's: it was not deployed so far, it is removed, or its "
            "stack brings its own",
            "`previewd show` says which",
        )
    return Source(preview=preview, name=Names(instance=instance, preview=preview).database, password=password)


async def take(databases: Databases, rows: Backups, directory: Path, source: Source) -> Backup:
    """Take one, list it, and remove those that are beyond what is kept. A failure is listed too, and raised."""
    preview = source.preview
    try:
        path = await _write(databases, directory, source)
    except PreviewdError as error:
        await rows.failed(preview, error.message)
        raise
    taken = await rows.succeeded(preview, path.name, path.stat().st_size)
    schedule = await rows.schedule_of(preview)
    kept = [backup for backup in await rows.of(preview) if backup.file]
    surplus = kept[schedule.keep if schedule else USUAL_KEEP :]
    await rows.forget([backup.id for backup in surplus])
    await asyncio.to_thread(_clean, directory, {backup.file for backup in kept} - {backup.file for backup in surplus})
    return taken


async def remove_all(claim: Claim, settings: Settings) -> None:
    """The preview is removed, and its backups with it."""
    await claim.forget_backups()
    await in_thread(remove_folder, folder(settings, claim.preview))


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that has its name only when it is whole, and that nobody but us may read: a dump holds everything.

    Raises OperatorError when it cannot be written.
    """
    new = path.with_name(f".{path.name}.{token_hex(3)}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(new, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(path)
    except OSError as error:
        raise OperatorError(
            f"{path} cannot be written: {error.strerror}", "make room, or let previewd's account write there"
        ) from error
    finally:
        with suppress(OSError):
            new.unlink()


async def _write(databases: Databases, directory: Path, source: Source) -> Path:
    path = directory / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{token_hex(3)}.dump"
    with whole_file(path) as output:
        await databases.dump(source.name, source.password, output)
    return path


def _clean(directory: Path, wanted: set[str]) -> None:
    oldest = time.time() - _ABANDONED_SECONDS
    for path in directory.iterdir():
        if path.name not in wanted and (path.suffix == ".dump" or path.stat().st_mtime < oldest):
            path.unlink(missing_ok=True)
