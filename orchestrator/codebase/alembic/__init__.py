"""What a repository's Alembic says: where its revisions lie, and how they follow each other."""
