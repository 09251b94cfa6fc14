"""The previews' Postgres server: databases, roles and sessions, held apart from each other."""

from orchestrator.adapters.postgres.server import PostgresDatabases

__all__ = ["PostgresDatabases"]
