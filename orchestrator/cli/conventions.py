"""The arguments that several commands take, and the exit codes of all."""

from typing import Annotated

import typer

from orchestrator.preview.errors import PreviewdError

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Which = Annotated[str, typer.Argument(metavar="ID", help="812345-7, owner/name#7, 7, or the preview's host.")]


DONE, NOT_WELL, WRONG_USAGE = 0, 1, 2
INTERRUPTED = 130
"""Ctrl-C, as shells count it: 128 and the signal."""


class UnclearId(PreviewdError):
    """No preview, or more than one, is meant."""
