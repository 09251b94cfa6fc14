"""`python -m worker`, which is what `previewd worker` runs."""

import importlib
import sys
import warnings

from orchestrator.runtime.imports import leave_out, stub

if __name__ == "__main__":
    # structlog colours no tracebacks here, httpx has no command line, arq reloads no code, and the Engine's answers
    # are JSON: Requests need not guess how they are encoded, and warns that it cannot.
    warnings.filterwarnings("ignore", message="Unable to find acceptable character detection")
    leave_out("rich", "click", "watchfiles", "pygments", "charset_normalizer", "sniffio", "trio")
    # Statements are SQLAlchemy's Core, Redis gets a password.
    stub("sqlalchemy.ext.asyncio.session", "sqlalchemy.ext.asyncio.scoping", "redis.auth.token")
    stub(*(f"sqlalchemy.dialects.postgresql.{n}" for n in ("pg8000", "psycopg", "psycopg2", "psycopg2cffi")))
    sys.exit(importlib.import_module("worker.main").main())
