"""Administers the previews' Postgres for one instance. Needs a superuser, on Postgres 15 or newer.

The rules, and what was seen to go wrong without each, stand at the statements.
"""

import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import IO, TYPE_CHECKING

from orchestrator.adapters.postgres import copies, roles, tenant, watchdog
from orchestrator.adapters.postgres.clients import Clients
from orchestrator.adapters.postgres.connection import Server, quoted
from orchestrator.compose.database.images import ServerFacts
from orchestrator.databases.connections import Budget
from orchestrator.databases.limits import SHUT, DatabaseLimits, DatabaseSize, Fill
from orchestrator.databases.sessions import Policed
from orchestrator.databases.templates import Template
from orchestrator.ports.databases import DatabaseAccess
from orchestrator.preview import names
from orchestrator.preview.errors import DatabaseFull, OperatorError
from orchestrator.preview.names import DatabaseKind

if TYPE_CHECKING:
    from orchestrator.adapters.postgres.connection import Connection

_INSTALLED_BY_US = frozenset({"postgis", "vector"})
"""Extensions that only a superuser may install, and that give a tenant nothing but types, functions and indexes."""

FACTS_SECONDS = 300.0
"""How long the server's version and extensions are taken to be as they were."""

_OPEN_TO_ALL = """
SELECT datname FROM pg_database WHERE datname IN ('postgres', 'template1')
AND EXISTS (SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE grantee = 0)
"""


class PostgresDatabases:
    """See `Databases`. `host` is where previews' containers reach the server at `url`."""

    def __init__(self, url: str, host: str, instance: str, limits: DatabaseLimits) -> None:
        self._server = Server(url)
        self._host = host
        self._instance = instance
        self._limits = limits
        self._owner = names.owner_role(instance)
        self._facts: ServerFacts | None = None
        self._facts_until = 0.0

    async def ping(self) -> None:
        """See `Databases.ping`."""
        await self._server.ping()

    def access(self, name: str, password: str) -> DatabaseAccess:
        """See `Databases.access`."""
        return DatabaseAccess(host=self._host, port=self._server.port, database=name, role=name, password=password)

    async def ensure(
        self, name: str, password: str, *, source: str | None = None, extensions: Collection[str] = ()
    ) -> DatabaseAccess:
        """See `Databases.ensure`."""
        async with self._server.session() as connection:
            found = await copies.find(connection, name)
            whole = found is not None and found.whole
            if found and whole:
                self._require_room(name, found.bytes)
            await self._close_shared_databases(connection)
            await roles.ensure_tenant(connection, name, password, self._limits)
            if not whole:
                await self._make(connection, name, name, source, extensions)
            await copies.admit(connection, name, name)
            if not whole:
                await self._mark(connection, name, source)
        return self.access(name, password)

    async def reset(self, name: str, *, source: str | None = None, extensions: Collection[str] = ()) -> None:
        """See `Databases.reset`."""
        new = names.next_database(name)
        async with self._server.session() as connection:
            await self._make(connection, new, name, source, extensions)
            await self._mark(connection, new, source)
            await copies.swap_in(connection, new, name, name, names.discarded_database(name))

    async def snapshot(self, name: str, snapshot: str) -> None:
        """See `Databases.snapshot`."""
        async with self._server.session() as connection, self._server.session() as other:
            found = await copies.find(connection, snapshot)
            if found and found.whole:
                return
            await copies.copy_in_use(connection, other, name, snapshot, self._owner)
            # A snapshot that was cut short may have left it closed.
            await copies.open_to_ours(connection, name)
            await self._mark(connection, snapshot, name)

    async def restore(self, name: str, snapshot: str) -> None:
        """See `Databases.restore`."""
        async with self._server.session() as connection:
            found = await copies.find(connection, snapshot)
            if found and found.whole:
                await copies.swap_in(connection, snapshot, name, name, names.discarded_database(name))
            elif await copies.find(connection, name):
                await copies.drop(connection, names.discarded_database(name))
                await copies.admit(connection, name, name)
            else:
                raise OperatorError(f"there is neither the database {name} nor its snapshot {snapshot}")

    async def finish_template(self, name: str, made_of: Mapping[str, str]) -> None:
        """See `Databases.finish_template`."""
        async with self._server.session() as connection:
            await roles.lock_out(connection, name)
            await copies.close(connection, name)
            # A right that is left would be taken back in every copy: at once, by all that are copied side by side.
            await connection.execute(f"REVOKE ALL ON DATABASE {quoted(name)} FROM {quoted(name)}")
            await copies.mark(connection, name, {"previewd": self._instance, "made_of": dict(made_of)})

    async def stock(self, template: str) -> None:
        """See `Databases.stock`."""
        spare = names.spare_database(template)
        async with self._server.session() as connection:
            there, source = await copies.find(connection, spare), await copies.find(connection, template)
            if (there and there.whole) or source is None or "made_of" not in source.facts:
                return
            await copies.copy(connection, template, spare, self._owner)
            await self._mark(connection, spare, template)

    async def templates(self) -> list[Template]:
        """See `Databases.templates`."""
        found = []
        async with self._server.session() as connection:
            every = await _names(connection)
            for name in every:
                repository = names.repository_of_template(self._instance, name)
                if repository is not None:
                    database = await copies.find(connection, name)
                    made_of = database.facts.get("made_of") if database and database.whole else None
                    spare = names.spare_database(name) in every
                    found.append(Template(name=name, repository=repository, made_of=made_of, spare=spare))
        return [*found, *self._lonely_spares(every)]

    def _lonely_spares(self, every: Collection[str]) -> list[Template]:
        """Copies that a killed removal left of a template that is gone: as one that is not finished, they go too."""
        spares = (name for name in every if names.kind_of_database(self._instance, name) is DatabaseKind.SPARE)
        owners = (names.role_of_database(self._instance, name) for name in spares)
        return [
            Template(name=owner, repository=repository, made_of=None, spare=True)
            for owner in owners
            if owner not in every and (repository := names.repository_of_template(self._instance, owner)) is not None
        ]

    async def remove(self, name: str) -> None:
        """See `Databases.remove`. The role is locked out first, or its clients connect again while it is dropped."""
        async with self._server.session() as connection:
            await roles.lock_out(connection, name)
            for database in await _names(connection):
                if names.role_of_database(self._instance, database) == name:
                    await copies.drop(connection, database)
            await copies.drop(connection, name)
            await roles.drop(connection, name)

    async def names(self) -> list[str]:
        """See `Databases.names`."""
        async with self._server.session() as connection:
            found = await _names(connection)
        return [name for name in found if names.preview_of_database(self._instance, name)]

    async def police(self) -> Policed:
        """See `Databases.police`."""
        async with self._server.session() as connection:
            ended = await watchdog.end_overdue(connection, self._instance, self._limits)
            measured = await watchdog.measure(connection, self._instance, self._limits.bytes)
            await watchdog.enforce(connection, measured)
        return Policed(ended=ended, sizes=tuple(one.size for one in measured))

    async def revisions(self, name: str, password: str) -> frozenset[str] | None:
        """See `Databases.revisions`."""
        return await tenant.revisions(self._server.host, self._server.port, name, password)

    async def run_script(self, name: str, password: str, script: str) -> None:
        """See `Databases.run_script`."""
        await tenant.run_script(self._server.host, self._server.port, name, password, script)

    async def dump(self, name: str, password: str, output: IO[bytes]) -> None:
        """See `Databases.dump`."""
        await (await self.clients(name, password)).dump(output)

    async def clients(self, name: str, password: str, *, database: str = "") -> Clients:
        """The server's client programs as this role, in its database or in the one that is to replace it."""
        async with self._server.session() as connection:
            major = connection.get_server_version().major
        return Clients(
            host=self._server.host,
            port=self._server.port,
            database=database or name,
            role=name,
            password=password,
            major=major,
        )

    @asynccontextmanager
    async def replacing(self, name: str) -> AsyncIterator[str]:
        """An empty database that its role may fill, by its name. At the end it takes the place of the present one.

        Until then nothing of the present one changes, and nothing ever does when the caller fails.
        """
        new = names.next_database(name)
        async with self._server.session() as connection:
            await self._make(connection, new, name, None, await self._extensions(name))
            await copies.admit(connection, new, name)
        try:
            yield new
        except BaseException:
            async with self._server.session() as connection:
                await copies.drop(connection, new)
            raise
        async with self._server.session() as connection:
            await copies.close(connection, new)
            await self._mark(connection, new, None)
            await copies.swap_in(connection, new, name, name, names.discarded_database(name))

    async def _extensions(self, name: str) -> frozenset[str]:
        """What is installed in a database: what takes its place needs those that only we can install."""
        async with self._server.session(name) as inside:
            return frozenset(row["extname"] for row in await inside.fetch("SELECT extname FROM pg_extension"))

    async def budget(self) -> Budget:
        """See `Databases.budget`."""
        async with self._server.session() as connection:
            return await roles.read_budget(connection)

    async def facts(self) -> ServerFacts:
        """See `Databases.facts`. Asked again after FACTS_SECONDS: extensions are installed while we run."""
        now = time.monotonic()
        if self._facts is None or now > self._facts_until:
            self._facts, self._facts_until = await self._read_facts(), now + FACTS_SECONDS
        return self._facts

    async def _read_facts(self) -> ServerFacts:
        async with self._server.session() as connection:
            rows = await connection.fetch(
                "SELECT DISTINCT name FROM pg_available_extension_versions WHERE trusted OR name = ANY ($1)",
                list(_INSTALLED_BY_US),
            )
            major = connection.get_server_version().major
        return ServerFacts(major=major, extensions=frozenset(row["name"] for row in rows))

    def _require_room(self, name: str, size: int) -> None:
        found = DatabaseSize(name=name, bytes=size, limit=self._limits.bytes)
        if found.fill is Fill.SHUT:
            raise DatabaseFull(
                f"the preview's database takes {size >> 20} MiB, and it was closed at "
                f"{round(found.limit * SHUT) >> 20} MiB: the limit is {found.limit >> 20} MiB",
                "reset the preview's database, or have its limit raised",
            )

    async def _close_shared_databases(self, connection: "Connection") -> None:
        # Everybody may connect to these by default, and make temporary tables there until the disk is full.
        for row in await connection.fetch(_OPEN_TO_ALL):
            await connection.execute(f"REVOKE ALL ON DATABASE {quoted(row['datname'])} FROM PUBLIC")

    async def _make(
        self, connection: "Connection", target: str, role: str, source: str | None, extensions: Collection[str]
    ) -> None:
        """A database that is `role`'s inside, and that nobody may connect to yet but us."""
        await roles.ensure_owner(connection, self._owner)
        if source is None or not await copies.take(connection, names.spare_database(source), target):
            await copies.copy(connection, source or copies.EMPTY, target, self._owner)
        await copies.open_to_ours(connection, target)
        async with self._server.session(target) as inside:
            if source is None:
                await _furnish(inside, role, extensions)
            elif (previous := names.role_of_database(self._instance, source)) != role:
                await copies.hand_over(inside, previous, role)

    async def _mark(self, connection: "Connection", name: str, source: str | None) -> None:
        await copies.mark(connection, name, {"previewd": self._instance, "from": source})


async def _furnish(inside: "Connection", role: str, extensions: Collection[str]) -> None:
    """An empty database. What is ours to install goes in before the tenant, who could set traps for its script."""
    wanted = list(_INSTALLED_BY_US.intersection(extensions))
    for row in await inside.fetch("SELECT name FROM pg_available_extensions WHERE name = ANY ($1)", wanted):
        await inside.execute(f"CREATE EXTENSION {quoted(row['name'])} SCHEMA public CASCADE")
    # Since Postgres 15 nobody but the database's owner may create in `public`.
    await inside.execute(f"ALTER SCHEMA public OWNER TO {quoted(role)}")


async def _names(connection: "Connection") -> list[str]:
    """Every database and role of the server, each name once."""
    rows = await connection.fetch("SELECT datname AS name FROM pg_database UNION SELECT rolname FROM pg_roles")
    return sorted(row["name"] for row in rows)
