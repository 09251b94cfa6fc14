"""The previews' Postgres server: databases, roles and sessions, held apart from each other.

It is never the server of previewd's own state: no connection limit, no bug in a `pg_hba.conf` and no superuser's
extension leads from one to the other.
"""

from orchestrator.adapters.postgres.server import PostgresDatabases

__all__ = ["PostgresDatabases"]
