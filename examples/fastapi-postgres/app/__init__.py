"""A small FastAPI application on Postgres, in the shape that previews are made for."""
