"""Keeps out of a process what its libraries load wherever it is installed, and what it never needs.

Both doors call this before they import anything else. What each library costs stands in docs/memory.md.
"""

import sys
from types import ModuleType


def leave_out(*packages: str) -> None:
    """Make these look as if they were not installed: for what a library takes if it is there."""
    for package in packages:
        # None is Python's own mark for what cannot be imported.
        sys.modules.setdefault(package, None)  # type: ignore[arg-type]


def stub(*modules: str) -> None:
    """Put an empty module in the place of each, in which every name is None: for what a library takes unasked."""
    for name in modules:
        sys.modules.setdefault(name, _Stub(name))


class _Stub(ModuleType):
    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):  # what the import system asks for
            raise AttributeError(name)
