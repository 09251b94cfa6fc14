"""Storms on a real installation: what `make chaos` runs, and a small one of `make test`."""
