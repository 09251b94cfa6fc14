"""Runs the migrations on ALEMBIC_DATABASE_URL, with the synchronous driver."""

from logging.config import fileConfig

from alembic import context
from app.models import Base
from app.settings import get_settings
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool


def migrate() -> None:
    """Bring the database to the wanted revision in one transaction."""
    engine = create_engine(get_settings().alembic_database_url, poolclass=NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata)
        with context.begin_transaction():
            context.run_migrations()


if context.config.config_file_name is not None:
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)
migrate()
