"""`python -m webhooks`, which is what `previewd web` runs."""

import importlib
import sys

from orchestrator.runtime.imports import leave_out, stub

if __name__ == "__main__":
    # redis-py checks no OCSP answers here, structlog colours no tracebacks, Uvicorn reloads no code.
    leave_out("cryptography", "rich", "watchfiles")
    # Statements are SQLAlchemy's Core, Uvicorn has neither a command line nor processes, Redis gets a password.
    stub("uvicorn.main", "redis.auth.token", "sqlalchemy.ext.asyncio.session", "sqlalchemy.ext.asyncio.scoping")
    stub(*(f"sqlalchemy.dialects.postgresql.{n}" for n in ("pg8000", "psycopg", "psycopg2", "psycopg2cffi")))
    sys.exit(importlib.import_module("webhooks.serve").main())
