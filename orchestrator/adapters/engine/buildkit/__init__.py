"""Builds by the BuildKit inside the Docker Engine, with a session of our own.

`build` is the way in. `session` answers what BuildKit asks meanwhile (`grpc` carries it): secrets, credentials, and
the files of `files`. `progress` turns what BuildKit reports into the lines of a log. `classic` is the builder of
Engines that have no BuildKit.

With the session there is no docker program and no file of a secret, and each build can read its own context only,
streamed from git objects without a work tree.
"""

from orchestrator.adapters.engine.buildkit.build import build

__all__ = ["build"]
