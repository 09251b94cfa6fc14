"""The command `previewd`, and the processes that `previewd up` runs."""

import sys


def main() -> None:
    """Run the command line: exit code 0 done, 1 not well, 2 wrong usage."""
    from orchestrator.cli.app import run

    sys.exit(run())
