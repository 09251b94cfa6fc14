"""A world in which applications have migrations: a one-shot service applies them to the database that it is given."""

import re
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.preview.names import Names
from orchestrator.preview.state import PreviewId
from tests.support.apps import tiny
from tests.support.fake_databases import FakeDatabase
from tests.support.fake_engine import Program
from tests.support.world import World
from worker.converge import converge

COMPOSE = """\
services:
  app:
    build: .
    expose: ["8000"]
    environment: {DATABASE_URL: "postgresql://u:p@db:5432/app"}
    depends_on: {migrate: {condition: service_completed_successfully}}
  migrate:
    build: .
    command: alembic upgrade head
    environment: {DATABASE_URL: "postgresql://u:p@db:5432/app"}
  db:
    image: postgres:16
"""
UPGRADE = ("alembic", "upgrade", "head")
BROKEN = "raise Broken"
"""What a migration holds that fails half way."""


class MigratingWorld(World):
    """Its application is at migration 0001; `migrate` adds and edits more."""

    def __init__(self, database: AsyncEngine, data_dir: Path) -> None:
        super().__init__(database, data_dir)
        self.files = {**tiny(compose=COMPOSE), "alembic.ini": b"[alembic]\nscript_location = alembic\n"}
        self.migrate("0001", None)
        self.engine.programs[UPGRADE] = Program(exit_code=0)
        self.migrated: list[str] = []
        """The databases that migrations ran on, in turn."""

    def migrate(self, revision: str, down: str | None, text: str = "pass") -> None:
        """Have this migration in the next commit."""
        content = f"revision = {revision!r}\ndown_revision = {down!r}\n\ndef upgrade():\n    {text}\n"
        self.files[f"alembic/versions/{revision}_change.py"] = content.encode()
        is_broken = any(BROKEN.encode() in content for content in self.files.values())
        lines = ("sqlalchemy.exc.ProgrammingError: column broken does not exist",)
        self.engine.programs[UPGRADE] = Program(exit_code=1, lines=lines) if is_broken else Program(exit_code=0)

    def unmigrate(self, revision: str) -> None:
        """Leave a migration out of the next commit."""
        del self.files[f"alembic/versions/{revision}_change.py"]
        self.engine.programs[UPGRADE] = Program(exit_code=0)

    def database_of(self, number: int = 7) -> FakeDatabase:
        return self.databases.databases[Names(instance="previewd", preview=PreviewId(812, number)).database]

    def held(self, number: int = 7) -> tuple[set[str], set[str]]:
        """A preview's data, and the revisions that it is at."""
        found = self.database_of(number)
        return found.data, set(found.revisions)

    def snapshots(self) -> list[str]:
        return [name for name in self.databases.databases if re.search(r"_w[0-9a-f]+$", name)]

    async def make_template(self, commit: str) -> None:
        """Let a worker make what a base branch at this commit makes of a database."""
        self.base_commit = commit
        await converge(self.context, PreviewId(812, 0))

    async def _engine_called(self, name: str, arguments: tuple[object, ...]) -> None:
        await super()._engine_called(name, arguments)
        if name == "start":
            self._upgrade(str(arguments[0]))

    def _upgrade(self, container: str) -> None:
        body = self.engine.body_of(container)
        if tuple(body.get("Cmd") or ()) != UPGRADE:
            return
        url = next(value for value in body["Env"] if value.startswith("DATABASE_URL="))
        name = url.rpartition("/")[2].partition("?")[0]
        self.migrated.append(name)
        revisions = sorted(path.rpartition("/")[2][:4] for path in self.files if "/versions/" in path)
        broken = any(BROKEN.encode() in content for content in self.files.values())
        self.databases.databases[name].revisions = frozenset({f"half-{revisions[-1]}" if broken else revisions[-1]})
