"""Alembic's entry: run by `previewd migrate`, which hands over a connection."""

from alembic import context

from orchestrator.store.tables import metadata


def run() -> None:
    """Migrate on the connection that the caller holds."""
    context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()


run()
