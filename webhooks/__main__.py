"""`python -m webhooks`, which is what `previewd web` runs."""

import importlib
import sys

from orchestrator.runtime.imports import leave_out

if __name__ == "__main__":
    # redis-py checks no OCSP answers here, structlog colours no tracebacks, Uvicorn reloads no code: 15 of 100 MB.
    leave_out("cryptography", "rich", "watchfiles")
    sys.exit(importlib.import_module("webhooks.serve").main())
