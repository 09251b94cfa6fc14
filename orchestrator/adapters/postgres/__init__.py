"""The previews' Postgres server: one database and one role per preview, each closed to all others."""

from orchestrator.adapters.postgres.server import PostgresDatabases

__all__ = ["PostgresDatabases"]
