"""What `previewd db …` does, on the database of one preview and as that preview's own role. Each returns the exit code.

What replaces or copies a database holds the preview's lease meanwhile, so that no deployment is under way. What only
reads holds none: nobody waits for it.
"""

import dataclasses
import os
import re
import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from orchestrator.adapters.postgres import PostgresDatabases
from orchestrator.cli import adapters
from orchestrator.cli.conventions import DONE, NOT_WELL, UnclearId
from orchestrator.cli.previews import Running, open_running, print_columns, print_json, the_one, wake
from orchestrator.preview.errors import OperatorError
from orchestrator.preview.names import MARK_LENGTH, Names, was_asked_for
from orchestrator.preview.records import Preview
from orchestrator.reporting.text import age, clean
from orchestrator.runtime.units import size_told
from orchestrator.store import dumps
from orchestrator.store.backups import Backup, Schedule
from orchestrator.store.claims import Claim, under_claim
from orchestrator.store.dumps import Source
from orchestrator.store.encryption import Encryption

KEPT_SNAPSHOTS = 3
"""Each takes the room of a whole database."""

SHORTEST = timedelta(minutes=5)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _At:
    """One preview's database, and what a command does to it with."""

    running: Running
    preview: Preview
    databases: PostgresDatabases
    source: Source

    @property
    def names(self) -> Names:
        return Names(instance=self.running.settings.instance, preview=self.preview.id)


async def psql(which: str, arguments: list[str]) -> tuple[list[str], dict[str, str]]:
    """The command line and the environment of psql."""
    async with _at(which) as at:
        clients = await at.databases.clients(at.source.name, at.source.password)
        return await clients.psql(arguments)


async def dump(which: str, output: str, *, plain: bool) -> int:
    """A dump, to standard output or into a file that is there when it is whole."""
    if output == "-" and not plain and sys.stdout.isatty():
        raise UnclearId("a dump is nothing for a terminal", "name a file with --output, or use --format plain")
    async with _at(which) as at:
        clients = await at.databases.clients(at.source.name, at.source.password)
        if output == "-":
            await clients.dump(sys.stdout.buffer, plain=plain)
            return DONE
        with dumps.whole_file(Path(output)) as stream:
            await clients.dump(stream, plain=plain)
    return DONE


async def restore(which: str, source: str) -> int:
    """A dump, a backup or a snapshot in the place of what the database holds."""
    async with _at(which) as at:
        found = await _found(at, source)
        await under_claim(at.running.store.claims, at.preview.id, lambda claim: _replace(at, claim, found))
        generation = await at.running.store.generations.force(at.preview.id)
        when = await wake(at.running.settings, at.preview, generation)
    print(f"{at.preview.id} has the data of {source}, and will be deployed again{when}")
    return DONE


async def reset(which: str) -> int:
    """Asked for here, done by the worker when it deploys."""
    async with _at(which) as at:
        generation = await at.running.store.generations.reset(at.preview.id)
        when = await wake(at.running.settings, at.preview, generation)
    print(f"the database of {at.preview.id} will be made anew{when}")
    return DONE


async def snapshot(which: str) -> int:
    """A copy on the server. The oldest go, so that there are never more than KEPT_SNAPSHOTS."""
    async with _at(which) as at:
        number = int(time.time())

        async def copy(_: Claim) -> None:
            await at.databases.snapshot(at.source.name, at.names.snapshot(number))
            for old in (await _snapshots(at))[KEPT_SNAPSHOTS:]:
                await at.databases.remove(at.names.snapshot(old))

        await under_claim(at.running.store.claims, at.preview.id, copy)
    print(f"kept as s{number}: `previewd db restore {at.preview.id} s{number}` goes back to it")
    return DONE


async def backup(which: str, *, every: str, keep: int) -> int:
    """One now, or one so often, taken by the worker."""
    period = _period(every) if every not in ("", "never") else None
    async with _at(which) as at:
        rows = at.running.store.backups
        if every == "never":
            await rows.unschedule(at.preview.id)
            print(f"no more backups of {at.preview.id} by themselves; those that are there stay")
        elif period is not None:
            await rows.schedule(at.preview.id, period, keep)
            print(f"the worker takes a backup of {at.preview.id} now and every {every}, and keeps {keep}")
        else:
            directory = dumps.folder(at.running.settings, at.preview.id)
            taken = await dumps.take(at.databases, rows, directory, at.source)
            print(f"backup {taken.id}: {size_told(taken.bytes)} in {directory / taken.file}")
    return DONE


async def list_backups(which: str, *, as_json: bool) -> int:
    """Backups and snapshots, newest first."""
    async with _at(which) as at:
        found = await at.running.store.backups.of(at.preview.id)
        schedule = await at.running.store.backups.schedule_of(at.preview.id)
        snapshots = await _snapshots(at)
    if as_json:
        print_json(_plain(found, schedule, snapshots))
    else:
        _print(found, schedule, snapshots)
    return NOT_WELL if found and not found[0].file else DONE


@asynccontextmanager
async def _at(which: str) -> AsyncIterator[_At]:
    async with open_running() as running:
        settings = running.settings
        settings.require("secret_key")
        preview = await the_one(running.queries, which)
        source = await dumps.source(running.queries, Encryption(settings.secret_key), settings.instance, preview.id)
        yield _At(running=running, preview=preview, databases=adapters.databases(settings), source=source)


async def _found(at: _At, source: str) -> Path | int:
    """The file to restore from, or the number of a snapshot."""
    if match := re.fullmatch(r"s(\d+)", source):
        if int(match[1]) not in await _snapshots(at):
            raise _unknown(at, f"{at.preview.id} has no snapshot {source}")
        return int(match[1])
    if re.fullmatch(r"[0-9]{1,18}", source):
        found = await at.running.store.backups.find(int(source))
        if found is None:
            raise _unknown(at, f"there is no backup {source}")
        return dumps.folder(at.running.settings, found.preview) / found.file
    if not os.access(source, os.R_OK):
        raise _unknown(at, f"there is no file {source} that may be read")
    return Path(source)


def _unknown(at: _At, message: str) -> UnclearId:
    return UnclearId(message, f"`previewd db backups {at.preview.id}` lists what there is; a file may be named as ./1")


async def _replace(at: _At, claim: Claim, found: Path | int) -> None:
    record = (await claim.row()).database
    if record is None or record.rollback is not None:
        raise OperatorError(
            f"a commit that does not serve yet has changed the database of {at.preview.id}",
            "wait until it serves or has failed (`previewd show` says so), and try again",
        )
    # What containers did to the present database, the next deployment has to do again. Written down before the effect.
    renewed = dataclasses.replace(record, resets=secrets.randbits(4 * MARK_LENGTH))
    if isinstance(found, int):
        await claim.keep_database(renewed)
        await at.databases.reset(at.source.name, source=at.names.snapshot(found))
        return
    async with at.databases.replacing(at.source.name) as empty:
        clients = await at.databases.clients(at.source.name, at.source.password, database=empty)
        await clients.restore(found)
        await claim.keep_database(renewed)


async def _snapshots(at: _At) -> list[int]:
    """The numbers of those that were asked for, newest first."""
    instance, prefix = at.running.settings.instance, at.names.snapshot(0).removesuffix("0")
    found = [name for name in await at.databases.names() if was_asked_for(instance, name)]
    return sorted((int(name.removeprefix(prefix)) for name in found if name.startswith(prefix)), reverse=True)


def _period(text: str) -> timedelta:
    match = re.fullmatch(r"([0-9]{1,4})([mhd])", text)
    period = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else timedelta()
    if period < SHORTEST:
        raise UnclearId(f"--every {text} is no length of time from 5m on", "write it as 30m, 24h or 7d")
    return period


def _plain(found: list[Backup], schedule: Schedule | None, snapshots: list[int]) -> dict[str, Any]:
    return {
        "schedule": schedule
        and {"every_seconds": schedule.every.total_seconds(), "keep": schedule.keep, "due_at": schedule.due_at},
        "backups": [dataclasses.asdict(each) | {"preview": str(each.preview)} for each in found],
        "snapshots": [{"name": f"s{number}", "at": datetime.fromtimestamp(number, UTC)} for number in snapshots],
    }


def _print(found: list[Backup], schedule: Schedule | None, snapshots: list[int]) -> None:
    now = datetime.now(UTC)
    if schedule:
        print(f"every {schedule.every}, {schedule.keep} are kept; the next is due {schedule.due_at:%Y-%m-%d %H:%M} UTC")
    rows = [(f"s{number}", "snapshot", age(datetime.fromtimestamp(number, UTC), now), "") for number in snapshots]
    for each in found:
        what = size_told(each.bytes) if each.file else f"failed: {clean(each.error)}"
        rows.append((str(each.id), "backup", age(each.at, now), what))
    if rows:
        print_columns(Console(), [tuple(Text(cell) for cell in row) for row in rows])
    else:
        print("none yet: `previewd db backup` takes one, `previewd db snapshot` keeps a copy on the server")
