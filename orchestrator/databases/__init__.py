"""A preview's Postgres database: what it begins as, when it is made anew, its limits."""
