"""`python -m worker`, which is what `previewd worker` runs."""

import importlib
import sys

from orchestrator.runtime.imports import leave_out

if __name__ == "__main__":
    # structlog colours no tracebacks here, httpx has no command line, arq reloads no code.
    leave_out("rich", "click", "watchfiles", "pygments")
    sys.exit(importlib.import_module("worker.main").main())
