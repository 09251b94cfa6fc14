"""The command `previewd`. Only what its help needs is loaded before a command is chosen."""

import sys


def main() -> None:
    """Run the command line: exit code 0 done, 1 not well, 2 wrong usage."""
    from orchestrator.cli.app import run  # noqa: PLC0415 - whoever imports this package need not pay for typer

    sys.exit(run())
