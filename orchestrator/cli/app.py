"""The commands of `previewd`. Each imports what it runs when it runs: SQLAlchemy alone takes half a second."""

import asyncio
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from orchestrator.cli import db
from orchestrator.cli.conventions import DONE, INTERRUPTED, NOT_WELL, WRONG_USAGE, Json, UnclearId, Which
from orchestrator.preview.errors import ConfigurationError, PreviewdError


def _end(code: object) -> None:
    """What a command returns is the exit code."""
    raise typer.Exit(_exit_code(code))


def _exit_code(result: object) -> int:
    if isinstance(result, str):
        print(result, file=sys.stderr)
        return NOT_WELL
    return result if isinstance(result, int) else DONE


LEAN = ("-X", "no_debug_ranges")
"""A traceback names the line and underlines nothing in it: that would take half a MiB of each process."""

app = typer.Typer(
    result_callback=_end,
    name="previewd",
    help="Every pull request gets its own running preview.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(db.app)


def run(arguments: list[str] | None = None) -> int:
    """Run one command; its exit code. Our own errors end in one line and what to do, never in a traceback."""
    try:
        app(arguments)
    except SystemExit as end:
        return _exit_code(end.code)
    except UnclearId as error:
        _complain(error)
        return WRONG_USAGE
    except PreviewdError as error:
        _complain(error)
        return NOT_WELL
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    return DONE


@app.command()
def web() -> int:
    """Run the web process: webhooks, API, dashboard, router."""
    _become("webhooks")


@app.command()
def worker() -> int:
    """Run the worker process, which builds and removes previews."""
    _become("worker")


@app.command()
def migrate() -> int:
    """Bring previewd's own database up to date."""
    from orchestrator.cli import previews

    return asyncio.run(previews.migrate())


@app.command()
def up() -> int:
    """Run everything: web, worker, and the servers that are not set."""
    from orchestrator.cli.start import start

    start()
    return DONE


@app.command()
def demo() -> int:
    """Show it all from nothing. A pull request becomes a preview, follows a push, and vanishes."""
    if find_spec("tests") is None or find_spec("tests.demo") is None:
        raise ConfigurationError("the demo is not installed", "clone the repository and run `make demo` in it")
    _become("tests.demo")


@app.command()
def check(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A checkout, or a Compose file in one.")] = Path(),
    as_json: Json = False,
    file: Annotated[str | None, typer.Option("--file", metavar="F", help="The Compose file, below PATH.")] = None,
    given: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A variable for the Compose file.")
    ] = None,
    config: Annotated[
        bool, typer.Option("--config", help="Print our reading, as `docker compose config --format json` does.")
    ] = False,
    generated: Annotated[
        bool, typer.Option("--generated", help="Print the files that it lacks, as previewd would make them.")
    ] = False,
) -> int:
    """Say what previewd would do with a checkout. Exit code 1 when it is refused."""
    from orchestrator.cli.check import run as run_check

    return run_check(path, file=file, given=given or (), as_json=as_json, config=config, generated=generated)


@app.command("ls")
def list_previews(
    every: Annotated[bool, typer.Option("--all", help="Also those that were removed.")] = False, as_json: Json = False
) -> int:
    """List the previews."""
    from orchestrator.cli import previews

    return asyncio.run(previews.list_previews(every=every, as_json=as_json))


@app.command()
def show(which: Which, as_json: Json = False) -> int:
    """Show one preview. Its state, its steps, what happened, what is wrong."""
    from orchestrator.cli import previews

    return asyncio.run(previews.show(which, as_json=as_json))


@app.command()
def logs(
    which: Which,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the deployment ends.")] = False,
    deployment: Annotated[int | None, typer.Option(help="Another one than the newest.")] = None,
) -> int:
    """Print what a deployment printed."""
    from orchestrator.cli import previews

    try:
        return asyncio.run(previews.logs(which, follow=follow, deployment=deployment))
    except KeyboardInterrupt:  # how one stops following
        return INTERRUPTED


@app.command()
def deploy(which: Which) -> int:
    """Deploy a preview again, though nothing changed."""
    from orchestrator.cli import previews

    return asyncio.run(previews.deploy(which))


@app.command("leaks")
def list_leaks(as_json: Json = False) -> int:
    """List what no preview has a use for. Exit code 1 when there is anything."""
    from orchestrator.cli.reconcile import leaks

    return asyncio.run(leaks(as_json=as_json))


@app.command("reconcile")
def run_reconciler(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    as_json: Json = False,
) -> int:
    """Compare what exists with what should, and make it right. The worker does the same all the time."""
    from orchestrator.cli.reconcile import reconcile

    return asyncio.run(reconcile(dry_run=dry_run, as_json=as_json))


def _become(module: str) -> NoReturn:
    """Go on as another program: nothing here imports the doors, and what the commands loaded does not stay."""
    os.execv(sys.executable, [sys.executable, *LEAN, "-m", module])  # noqa: S606 - there is no shell to start


def _complain(error: PreviewdError) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, soft_wrap=True)
    console.print(Text.assemble(("error: ", "bold red"), (error.message, "red")))
    if error.remedy:
        console.print(Text.assemble(("→ ", "bold"), error.remedy))
