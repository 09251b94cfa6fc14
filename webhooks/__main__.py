"""`python -m webhooks`, which is what `previewd web` runs."""

import importlib
import sys

UNUSED = ("cryptography", "rich", "watchfiles")
"""Redis, structlog and Uvicorn load these wherever they are installed, for what this process never does: check OCSP
answers, colour tracebacks, reload code. Left out they save 15 of 100 MB, and the web process stays small."""


def main() -> int:
    """Leave out what is unused, and only then load the rest."""
    for name in UNUSED:
        # None is Python's own mark for what cannot be imported.
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
    return int(importlib.import_module("webhooks.serve").main())


if __name__ == "__main__":
    sys.exit(main())
