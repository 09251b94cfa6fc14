"""The arguments that several commands take."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Which = Annotated[str, typer.Argument(metavar="ID", help="812345-7, owner/name#7, 7, or the preview's host.")]
