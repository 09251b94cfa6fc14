"""What a commit says of itself: Python, Alembic, Dockerfile, ignore file; read as text, never run."""
