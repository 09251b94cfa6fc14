"""The previews' Postgres server, as the worker needs it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import IO, Protocol

from orchestrator.compose.database.images import ServerFacts
from orchestrator.databases.connections import Budget
from orchestrator.databases.sessions import Policed
from orchestrator.databases.templates import Template


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseAccess:
    """How a preview's containers reach its database."""

    host: str
    port: int
    database: str
    role: str
    password: str = field(repr=False)


class Databases(Protocol):
    """The Postgres server on which previews have their databases. Names are those of `orchestrator.preview.names`.

    Each method may be called again after being killed at any point. Methods that make or change a database are called
    by one worker at a time for each preview; of two that make the same one, the second raises TemporaryError.
    """

    async def ping(self) -> None:
        """Return when it lets us in and answers. Raises Unavailable."""

    def access(self, name: str, password: str) -> DatabaseAccess:
        """How containers reach the database of this name, whether or not it exists yet."""

    async def ensure(
        self, name: str, password: str, *, source: str | None = None, extensions: Collection[str] = ()
    ) -> DatabaseAccess:
        """A database and a role of this name, for a preview or for a template that is to be filled.

        Only that role can connect; it may create what it likes inside, and nothing else. What exists keeps its data; a
        new one is a copy of `source` (a template or a snapshot), or empty but for those of `extensions` that only a
        superuser can install. Raises NoConnectionsLeft, and DatabaseFull for one that is shut.
        """

    async def reset(self, name: str, *, source: str | None = None, extensions: Collection[str] = ()) -> None:
        """Put a new database, made as by `ensure`, in the place of this one. Its sessions end; its role stays."""

    async def snapshot(self, name: str, snapshot: str) -> None:
        """Have a copy of the database as it is. Its sessions end, and none begins until the copy is made.

        A snapshot that exists already is kept as it is.
        """

    async def restore(self, name: str, snapshot: str) -> None:
        """Put the snapshot in the place of the database: its sessions end, and the snapshot is used up.

        Nothing happens when there is no such snapshot any more: that is how it looks after a restore.
        """

    async def finish_template(self, name: str, made_of: Mapping[str, str]) -> None:
        """Close the template for good: from now on it is only copied. `made_of` comes back from `templates`.

        Every tenant of the server can read `made_of`: it holds hashes and revisions, no names and no addresses.
        """

    async def stock(self, template: str) -> None:
        """Have a spare copy of a finished template ready: the next `ensure` from it then renames instead of copying.

        It takes as long and as much disk as a copy does, so it is called when nobody waits, by one at a time.
        """

    async def templates(self) -> list[Template]:
        """Every template of this instance, finished or not."""

    async def remove(self, name: str) -> None:
        """Drop this database, ending whatever sessions are left; a preview's with its snapshots and its role."""

    async def names(self) -> list[str]:
        """Databases and roles of this instance's previews, snapshots included, each name once."""

    async def police(self) -> Policed:
        """One round of the watchdog: end sessions that last too long, and hold databases to their size."""

    async def revisions(self, name: str, password: str) -> frozenset[str] | None:
        """The Alembic revisions that the database is at, asked as its own role: none where none was ever applied.

        None when the answer cannot be had, as from a database that is closed or has no connection left. It comes from
        a stranger's table: it says something about that stranger's database only.
        """

    async def run_script(self, name: str, password: str, script: str) -> None:
        """Run SQL in the database as its own role, in one transaction. Raises ScriptError with the server's words."""

    async def dump(self, name: str, password: str, output: IO[bytes]) -> None:
        """Write a dump of the database in the form of pg_dump, taken as its own role. Raises OperatorError."""

    async def budget(self) -> Budget:
        """The server's connections: what it has, what is promised, what is in use."""

    async def facts(self) -> ServerFacts:
        """The server's version, and the extensions that previews can have in it."""
