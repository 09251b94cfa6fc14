"""How a command ends: its exit code, and the error for an ID that names no preview, or several."""

from orchestrator.errors import PreviewdError

DONE, NOT_WELL, WRONG_USAGE = 0, 1, 2
INTERRUPTED = 130
"""Ctrl-C, as shells count it: 128 and the signal."""


class UnclearId(PreviewdError):
    """No preview, or more than one, is meant."""
