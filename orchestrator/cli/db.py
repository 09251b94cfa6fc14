"""`previewd db …`. Each command imports what it runs when it runs."""

import asyncio
import os
from enum import StrEnum
from typing import Annotated

import typer

from orchestrator.cli.conventions import Json, Which

app = typer.Typer(
    name="db", help="Look into previews' databases, copy them, and put them back.", no_args_is_help=True,
    rich_markup_mode=None,
)  # fmt: skip


class Format(StrEnum):
    """The formats of a dump."""

    CUSTOM = "custom"
    PLAIN = "plain"


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def psql(which: Which, context: typer.Context) -> None:
    """Open psql in a preview's database as the preview's own role. What follows ID is psql's, as in -c 'select 1'."""
    from orchestrator.cli import database

    argv, environment = asyncio.run(database.psql(which, context.args))
    os.execve(argv[0], argv, environment)  # noqa: S606 - there is no shell to start


@app.command()
def dump(
    which: Which,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="- is standard output.")] = "-",
    form: Annotated[Format, typer.Option("--format", help="pg_dump's own, or SQL.")] = Format.CUSTOM,
) -> int:
    """Write a dump of a preview's database. Only its own role's view of it, never the server's administrator's."""
    from orchestrator.cli import database

    return asyncio.run(database.dump(which, output, plain=form is Format.PLAIN))


@app.command()
def restore(
    which: Which,
    source: Annotated[
        str, typer.Argument(metavar="FILE|BACKUP|SNAPSHOT", help="A dump, or what `previewd db backups` lists.")
    ],
) -> int:
    """Put a dump, backup or snapshot in the place of a database. The preview is deployed again.

    It may be another preview's. What the database holds now is gone; until the last moment nothing of it changes.
    """
    from orchestrator.cli import database

    return asyncio.run(database.restore(which, source))


@app.command()
def reset(which: Which) -> int:
    """Make a preview's database anew, as for a new pull request. The preview is deployed again."""
    from orchestrator.cli import database

    return asyncio.run(database.reset(which))


@app.command()
def snapshot(which: Which) -> int:
    """Keep a copy on the server, to go back to. The application's sessions end for it."""
    from orchestrator.cli import database

    return asyncio.run(database.snapshot(which))


@app.command()
def backup(
    which: Which,
    every: Annotated[
        str, typer.Option(metavar="TIME", help="Have the worker take one so often: 30m, 24h, 7d; `never` ends that.")
    ] = "",
    keep: Annotated[int, typer.Option(min=1, max=1000, help="How many are kept with --every, the newest.")] = 7,
) -> int:
    """Take a backup into DATA_DIR now, or so often. Backups go when their preview goes: `dump` keeps one for good."""
    from orchestrator.cli import database

    return asyncio.run(database.backup(which, every=every, keep=keep))


@app.command()
def backups(which: Which, as_json: Json = False) -> int:
    """List a preview's backups and snapshots, and what went wrong. Exit code 1 when the newest backup failed."""
    from orchestrator.cli import database

    return asyncio.run(database.list_backups(which, as_json=as_json))
