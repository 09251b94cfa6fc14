"""Revisions of previewd's own database, run by Alembic."""
