"""Keeps out of a process what its libraries load wherever it is installed, and what it never needs."""

import sys


def leave_out(*packages: str) -> None:
    """Make these look as if they were not installed. To be called before anything else is imported."""
    for package in packages:
        # None is Python's own mark for what cannot be imported.
        sys.modules.setdefault(package, None)  # type: ignore[arg-type]
