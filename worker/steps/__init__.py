"""The steps of a deployment in order: source, build, database, environment, launch, probe; and teardown."""
